//! What an order of songs asks for.

use serde_json::{Map, Value};

use super::{MODELS, Refusal, SECONDS, Task};

/// The most characters of an idea, and of a title.
const MAX_IDEA: usize = 500;
const MAX_TITLE: usize = 80;

/// An order of songs.
pub(super) struct Order {
    pub(super) model: &'static str,
    pub(super) input: Value,
    /// What it goes on from.
    pub(super) from: Option<Task>,
}

/// The fields of an order.
struct Fields(Map<String, Value>);

/// A text: its name, the most characters, and whether it must be there.
type Text = (&'static str, usize, Needed);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Needed {
    Yes,
    No,
}

/// What the words of an order are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Lyrics, a style and a title.
    Custom,
    Idea,
}

/// Songs of an idea, or of lyrics.
pub(super) fn songs(body: &[u8]) -> Result<Order, Refusal> {
    let fields = Fields::read(body)?;
    let (model, lyrics, style) = fields.model()?;
    let mode = fields.mode()?;
    let needed = if fields.flag("instrumental")? {
        Needed::No
    } else {
        Needed::Yes
    };
    fields.callback()?;
    fields.texts(mode, (lyrics, style, needed))?;
    Ok(fields.order(model, None))
}

/// Songs that go on from one.
pub(super) fn longer(body: &[u8]) -> Result<Order, Refusal> {
    let fields = Fields::read(body)?;
    let (model, lyrics, style) = fields.model()?;
    let own = fields.flag("defaultParamFlag")?;
    fields.callback()?;
    let song = Task::of_song(fields.text("audioId"));
    let song = song.ok_or_else(|| wrong("audioId is no song that is done"))?;
    if song.model != model {
        return Err(wrong("model must be the one that made the song"));
    }
    if own {
        fields.texts(Mode::Custom, (lyrics, style, Needed::Yes))?;
        let at = fields.0.get("continueAt").and_then(Value::as_f64);
        if !at.is_some_and(|at| at > 0.0 && at < f64::from(SECONDS)) {
            return Err(wrong("continueAt must be within the song"));
        }
    }
    Ok(fields.order(model, Some(song)))
}

/// Songs of a sound.
pub(super) fn sound(body: &[u8]) -> Result<Order, Refusal> {
    let fields = Fields::read(body)?;
    let (model, lyrics, style) = fields.model()?;
    let mode = fields.mode()?;
    fields.flag("instrumental")?;
    fields.callback()?;
    if fields.text("uploadUrl").is_empty() {
        return Err(wrong("uploadUrl is required"));
    }
    fields.texts(mode, (lyrics, style, Needed::Yes))?;
    Ok(fields.order(model, None))
}

fn wrong(words: &str) -> Refusal {
    (422, words.to_owned())
}

// === impl Fields ===

impl Fields {
    fn read(body: &[u8]) -> Result<Self, Refusal> {
        serde_json::from_slice(body)
            .map(Self)
            .map_err(|_| (400, "the body is not a JSON object".to_owned()))
    }

    /// The model, and the most characters of its lyrics and of a style.
    fn model(&self) -> Result<(&'static str, usize, usize), Refusal> {
        let name = self.text("model");
        let model = MODELS.iter().find(|(known, ..)| *known == name);
        model.copied().ok_or_else(|| wrong("model is not known"))
    }

    fn flag(&self, name: &str) -> Result<bool, Refusal> {
        let flag = self.0.get(name).and_then(Value::as_bool);
        flag.ok_or_else(|| wrong(&format!("{name} is required")))
    }

    fn mode(&self) -> Result<Mode, Refusal> {
        let custom = self.flag("customMode")?;
        Ok(if custom { Mode::Custom } else { Mode::Idea })
    }

    fn text(&self, name: &str) -> &str {
        let text = self.0.get(name).and_then(Value::as_str);
        text.unwrap_or_default()
    }

    fn callback(&self) -> Result<(), Refusal> {
        let address = url::Url::parse(self.text("callBackUrl"));
        address
            .map(drop)
            .map_err(|_| wrong("callBackUrl is required"))
    }

    /// Lyrics, a style and a title, or an idea alone.
    fn texts(
        &self,
        mode: Mode,
        (lyrics, style, needed): (usize, usize, Needed),
    ) -> Result<(), Refusal> {
        let all: &[Text] = &[
            ("prompt", lyrics, needed),
            ("style", style, Needed::Yes),
            ("title", MAX_TITLE, Needed::Yes),
        ];
        let idea: &[Text] = &[("prompt", MAX_IDEA, Needed::Yes)];
        let texts = match mode {
            Mode::Custom => all,
            Mode::Idea => idea,
        };
        for (name, most, needed) in texts {
            let text = self.text(name);
            if *needed == Needed::Yes && text.is_empty() {
                return Err(wrong(&format!("{name} is required")));
            }
            if text.chars().count() > *most {
                return Err((413, format!("{name} has more than {most} characters")));
            }
        }
        Ok(())
    }

    fn order(self, model: &'static str, from: Option<Task>) -> Order {
        Order {
            model,
            input: Value::Object(self.0),
            from,
        }
    }
}
