//! The other services, as the pages ask them.

use std::time::Duration;

use chassis::rpc::{self, Channel};
use proto::{
    billing::v1::{
        self as billing, billing_caller::BillingCaller, keys_caller::KeysCaller,
        orders_caller::OrdersCaller, prices_caller::PricesCaller, usage_caller::UsageCaller,
    },
    chat::v1::{self as chat, chat_caller::ChatCaller},
    media::v1::{self as media, media_caller::MediaCaller},
    webhooks::v1::{manage_caller::ManageCaller, webhooks_caller::WebhooksCaller},
};

/// The largest answer of another service that is taken, in bytes: a page of requests with their texts.
const LARGEST_ANSWER: usize = 16 * 1024 * 1024;

/// The ways to the other services.
#[derive(Clone)]
pub struct Channels {
    /// Accounts, keys, credit, usage.
    pub billing: Channel,
    /// What a chat would cost.
    pub chat: Channel,
    /// Tasks and files.
    pub media: Channel,
    /// Endpoints and deliveries.
    pub webhooks: Channel,
    /// Where edges listen, if the API is relayed to them: `http://host:port`, several with commas between. `None`: something else
    /// serves it on the pages' own origin.
    pub edge: Option<String>,
}

/// Whom operators call.
#[derive(Debug)]
pub(crate) struct Operators {
    pub(crate) billing: billing::operators_caller::OperatorsCaller,
    pub(crate) chat: chat::operators_caller::OperatorsCaller,
    pub(crate) media: media::operators_caller::OperatorsCaller,
}

/// Whom to call. A call takes a caller of its own: cloning one costs next to nothing.
#[derive(Debug)]
pub(crate) struct Peers {
    pub(crate) billing: BillingCaller,
    pub(crate) keys: KeysCaller,
    pub(crate) usage: UsageCaller,
    pub(crate) orders: OrdersCaller,
    pub(crate) prices: PricesCaller,
    pub(crate) chat: ChatCaller,
    pub(crate) media: MediaCaller,
    pub(crate) operators: Operators,
    pub(crate) webhooks: WebhooksCaller,
    pub(crate) manage: ManageCaller,
    /// How long one of them may take to answer.
    patience: Duration,
}

// === impl Peers ===

impl Peers {
    /// Calls what is at the end of these ways.
    pub(crate) fn new(channels: Channels, patience: Duration) -> Self {
        let Channels {
            billing,
            chat,
            media,
            webhooks,
            edge: _,
        } = channels;
        let most = LARGEST_ANSWER;
        let operators = Operators {
            billing: billing::operators_caller::OperatorsCaller::new(billing.clone())
                .max_decoding_message_size(most),
            chat: chat::operators_caller::OperatorsCaller::new(chat.clone())
                .max_decoding_message_size(most),
            media: media::operators_caller::OperatorsCaller::new(media.clone())
                .max_decoding_message_size(most),
        };
        Self {
            keys: KeysCaller::new(billing.clone()).max_decoding_message_size(most),
            usage: UsageCaller::new(billing.clone()).max_decoding_message_size(most),
            orders: OrdersCaller::new(billing.clone()).max_decoding_message_size(most),
            prices: PricesCaller::new(billing.clone()).max_decoding_message_size(most),
            billing: BillingCaller::new(billing).max_decoding_message_size(most),
            chat: ChatCaller::new(chat).max_decoding_message_size(most),
            operators,
            media: MediaCaller::new(media).max_decoding_message_size(most),
            manage: ManageCaller::new(webhooks.clone()).max_decoding_message_size(most),
            webhooks: WebhooksCaller::new(webhooks).max_decoding_message_size(most),
            patience,
        }
    }

    /// A request that is answered within the pages' patience.
    pub(crate) fn ask<M>(&self, message: M) -> tonic::Request<M> {
        rpc::request(message, self.patience)
    }
}

impl std::fmt::Debug for Channels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Channels").finish_non_exhaustive()
    }
}
