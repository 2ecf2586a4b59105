//! Which guides there are, and what each is made of.

use super::{CASES, ERRORS, OPERATING};

/// A guide: words of its own around sections of `docs/api.md`, or a file as it is.
pub(super) struct Guide {
    pub(super) path: &'static str,
    pub(super) group: &'static str,
    pub(super) title: &'static str,
    pub(super) about: &'static str,
    /// What stands before the sections.
    pub(super) before: &'static str,
    /// Titles of the second level in `docs/api.md`.
    pub(super) sections: &'static [&'static str],
    /// What stands behind them.
    pub(super) after: &'static str,
    /// A file that is a page as it stands; it begins with its title.
    pub(super) file: Option<&'static str>,
}

const START: &str = "Start";
const GUIDE: &str = "Guides";
const REFERENCE: &str = "Reference";

/// A guide of sections alone.
const fn of_sections(
    path: &'static str,
    title: &'static str,
    about: &'static str,
    sections: &'static [&'static str],
) -> Guide {
    Guide {
        path,
        group: GUIDE,
        title,
        about,
        before: "",
        sections,
        after: "",
        file: None,
    }
}

/// A guide of its own words alone.
const fn of_words(
    path: &'static str,
    title: &'static str,
    about: &'static str,
    before: &'static str,
) -> Guide {
    Guide {
        group: START,
        before,
        ..of_sections(path, title, about, &[])
    }
}

/// A file.
const fn of_file(
    path: &'static str,
    title: &'static str,
    about: &'static str,
    file: &'static str,
) -> Guide {
    Guide {
        group: REFERENCE,
        file: Some(file),
        ..of_sections(path, title, about, &[])
    }
}

/// Every guide, in the order of the contents.
pub(super) const GUIDES: &[Guide] = &[
    of_words(
        "quick-start",
        "Quick start",
        "From a key to an answer, a picture and a webhook, in five minutes.",
        include_str!("../../guides/quick-start.md"),
    ),
    of_words(
        "openai",
        "Moving from OpenAI",
        "Two lines change. What stays the same, and what is different.",
        include_str!("../../guides/openai.md"),
    ),
    Guide {
        before: include_str!("../../guides/test-mode.md"),
        group: START,
        ..of_sections(
            "test-mode",
            "Test mode",
            "Play money, simulated providers, and words that make them fail.",
            &["The sandbox"],
        )
    },
    of_sections(
        "charges",
        "How you are charged",
        "What each ending costs, how prices are made, quotes, limits and receipts.",
        &["How you are charged"],
    ),
    of_words(
        "what-if",
        "What happens if…",
        "You leave, we die, a provider fails, a webhook is lost: what becomes of the work and the money.",
        include_str!("../../guides/what-if.md"),
    ),
    of_sections(
        "chat",
        "Chat",
        "OpenAI's and Anthropic's words for every model, streams, reasoning, tools, responses.",
        &["Chat"],
    ),
    of_sections(
        "tasks",
        "Tasks",
        "Pictures, videos, music, speech and tools: submit, follow, fetch, cancel.",
        &["Tasks"],
    ),
    Guide {
        after: include_str!("../../guides/webhooks.md"),
        ..of_sections(
            "webhooks",
            "Webhooks",
            "Who is told what, how it is signed and tried again, and a vector to test with.",
            &["Webhooks"],
        )
    },
    of_sections(
        "files",
        "Files",
        "Uploads, to be named in requests instead of a URL.",
        &["Files"],
    ),
    of_sections(
        "idempotency",
        "Idempotency",
        "How a request that is sent twice happens once.",
        &["Idempotency-Key"],
    ),
    of_sections(
        "equal-requests",
        "Equal requests",
        "An answer that is there already costs nothing.",
        &["Equal requests"],
    ),
    of_sections(
        "keys",
        "Keys and limits",
        "Scopes, caps, rotation, requests per minute, open tasks.",
        &["Keys and modes", "Limits"],
    ),
    of_sections(
        "money",
        "Usage and credit",
        "What was used, receipts, buying credit, redeem codes.",
        &["Usage and receipts", "Buying credit"],
    ),
    of_file(
        "errors",
        "Error codes",
        "Every code: what happened, what to do, and whether to send it again.",
        ERRORS,
    ),
    of_file(
        "operating",
        "Operating it",
        "Configuration, health, metrics, providers, your own models, backups.",
        OPERATING,
    ),
    of_file(
        "cases",
        "What providers do",
        "Every way a job can go, with every provider: the task, the charge, the provider's bill.",
        CASES,
    ),
];
