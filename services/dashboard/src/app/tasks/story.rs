//! All that a task's page tells: the task, whom it was tried with, what it cost, whom that was told.

use domain::{TaskId, ids};
use proto::{
    billing::v1::{GetReceiptRequest, Operation},
    media::v1::{GetTaskRequest, ReadOutputRequest, Run, output_part::Part},
    webhooks::v1::ListDeliveriesRequest,
};

use super::{
    timeline::{self, Step},
    view::{Failure, Medium, Output, State, Task},
};
use crate::{
    Site,
    app::webhooks::words::Delivery,
    refused::Refused,
    show::Time,
    who::{Manages, Member, Need as _},
};

/// Milliseconds until a page asks again: of a task that runs, which is answered when something changes;
const RUNS: u32 = 1_000;
/// and of one that has ended, whose charge or whose deliveries are under way.
const UNDER_WAY: u32 = 2_000;
/// What is further off than this is not waited for, in microseconds.
const SOON: i64 = 60_000_000;

/// What is told of a task.
#[derive(Debug)]
pub(super) struct Story {
    pub(super) task: Task,
    /// What its model is called.
    pub(super) model: String,
    /// Whom it was tried with.
    pub(super) runs: Vec<Run>,
    /// Its charge; `None`: it is not booked yet, or billing does not answer.
    pub(super) operation: Option<Operation>,
    /// What became of its events; `None`: webhooks does not answer.
    pub(super) told: Option<Vec<Delivery>>,
    /// Of files that are words: their numbers, and what they say.
    texts: Vec<(u32, Text)>,
    /// Whether the reader may try to cancel it.
    pub(super) can_cancel: bool,
    /// Whether the reader may change anything here.
    pub(super) manages: bool,
}

/// The beginning of a file.
#[derive(Debug)]
pub(super) struct Text {
    pub(super) body: String,
    /// Whether it goes on.
    pub(super) is_cut: bool,
}

// === impl Story ===

impl Story {
    /// Asks for the rest of what there is to tell.
    ///
    /// # Errors
    /// When media does not answer. What billing and webhooks know is left out where they do not.
    pub(super) async fn tell<N>(
        site: &Site,
        member: &Member<N>,
        task: Task,
    ) -> Result<Self, Refused> {
        let id = super::parse(&task.task_id)?.to_vec();
        let context = || Some(member.context());
        let peers = &site.peers;
        let (mut media, mut usage, mut webhooks) = (
            peers.media.clone(),
            peers.usage.clone(),
            peers.webhooks.clone(),
        );
        let runs = peers.ask(GetTaskRequest {
            context: context(),
            task_id: id.clone().into(),
        });
        let receipt = peers.ask(GetReceiptRequest {
            context: context(),
            operation_id: id.clone().into(),
        });
        // Theirs to see: media has shown them the task.
        let told = peers.ask(ListDeliveriesRequest { task_id: id.into() });
        let (runs, receipt, told, texts) = tokio::join!(
            media.list_runs(runs),
            usage.get_receipt(receipt),
            webhooks.list_deliveries(told),
            texts(site, member, &task),
        );
        let runs = runs.map_err(Refused::unknown_alike)?.into_inner().runs;
        let told = told.ok().map(|answer| answer.into_inner().deliveries);
        let told = told.map(|all| all.into_iter().map(Delivery::of_task).collect());
        let told: Option<Result<Vec<_>, _>> = told;
        let manages = Manages::check(&member.person).is_ok();
        let model = site.model(&task.model);
        Ok(Self {
            model: model.map_or(&task.model, |model| &model.name).clone(),
            runs,
            operation: receipt
                .ok()
                .and_then(|answer| answer.into_inner().operation),
            told: told.transpose()?,
            texts,
            can_cancel: manages && task.can_be_cancelled(site),
            manages,
            task,
        })
    }

    /// What happened, in its order.
    pub(super) fn steps(&self) -> Vec<Step> {
        timeline::of(self)
    }

    /// What a file that is words says.
    pub(super) fn text(&self, output: &Output) -> Option<&Text> {
        let number = output.number()?;
        let mut texts = self.texts.iter();
        texts.find(|(of, _)| *of == number).map(|(_, text)| text)
    }

    /// Whether its page follows it.
    pub(super) fn is_followed(&self) -> bool {
        self.again(chassis::clock::now_micros()).is_some()
    }

    /// The id under which it is charged.
    pub(super) fn operation_id(&self) -> String {
        let task = TaskId::parse(&self.task.task_id);
        task.map(|task| task.cast::<ids::Operation>().to_string())
            .unwrap_or_default()
    }

    /// Why a run failed, in words.
    pub(super) fn reason(&self, run: &Run) -> String {
        timeline::reason(&run.reason)
    }

    /// When a page that follows asks again, in milliseconds; `None`: nothing changes any more, as far as can be told.
    pub(super) fn again(&self, now: i64) -> Option<u32> {
        if !self.task.has_ended() {
            return Some(RUNS);
        }
        let ended = self.task.completed_at.map_or(0, |at| at.micros());
        let is_unbooked = self.operation.is_none() && now.saturating_sub(ended) < SOON;
        let mut told = self.told.iter().flatten();
        let is_telling = told.any(|delivery| delivery.is_soon(now.saturating_add(SOON)));
        // Whether anybody is told, webhooks knows a moment later.
        let is_fresh = now.saturating_sub(ended) < i64::from(UNDER_WAY) * 1_000;
        (is_unbooked || is_telling || is_fresh).then_some(UNDER_WAY)
    }

    /// Why it failed, where nobody wanted that.
    pub(super) fn failure(&self) -> Option<&Failure> {
        let failure = self.task.error.as_ref();
        failure.filter(|_| self.task.state() == State::Failed)
    }

    /// When it fails, if it has not ended before.
    pub(super) fn deadline(&self) -> Time {
        Time::of(self.task.deadline_at.micros())
    }

    /// When it was made.
    pub(super) fn created(&self) -> Time {
        Time::of(self.task.created_at.micros())
    }

    /// How long it took, from its making to its end; or so far.
    pub(super) fn took(&self) -> Option<String> {
        let end = self.task.completed_at?.micros();
        let took = end.saturating_sub(self.task.created_at.micros());
        Some(timeline::seconds(took))
    }

    /// Whether there is a receipt to read.
    pub(super) fn has_receipt(&self) -> bool {
        self.operation.is_some()
    }
}

/// Of the files of a task that are words, how they begin.
async fn texts<N>(site: &Site, member: &Member<N>, task: &Task) -> Vec<(u32, Text)> {
    let mut texts = Vec::new();
    for output in &task.output {
        if output.medium() == Medium::Text
            && let Some(number) = output.number()
            && let Some(text) = text(site, member, task, number).await
        {
            texts.push((number, text));
        }
    }
    texts
}

/// How one begins. `None` where it cannot be read: its link is there all the same.
async fn text<N>(site: &Site, member: &Member<N>, task: &Task, index: u32) -> Option<Text> {
    let most = site.config.work.shown_text;
    let request = ReadOutputRequest {
        context: Some(member.context()),
        task_id: super::parse(&task.task_id).ok()?.to_vec().into(),
        index,
        start: None,
        end: Some(u64::from(most)),
    };
    let mut media = site.peers.media.clone();
    let parts = media.read_output(site.peers.ask(request)).await;
    let mut parts = parts.ok()?.into_inner();
    let (mut bytes, mut is_cut) = (Vec::new(), false);
    while let Some(part) = parts.message().await.ok()? {
        match part.part? {
            Part::Head(head) => is_cut = head.end < head.bytes,
            Part::Data(data) => bytes.extend_from_slice(&data),
        }
    }
    Some(Text {
        body: String::from_utf8_lossy(&bytes).into_owned(),
        is_cut,
    })
}
