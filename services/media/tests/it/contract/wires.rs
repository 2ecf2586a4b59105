//! The adapters: what each is asked for, and what goes otherwise there.

use proto::code;
use sandbox::directive::Outcome;

use super::{Billed, Differs, Ends, Wire};

/// Who answers a submit with what it made loses all of it with the answer: what came of it is nowhere to be looked up.
const LOST: Ends = Ends::Failed(code::SUBMIT_OUTCOME_UNKNOWN);
/// Those whose files are elsewhere.
const AT_ONCE: &[Differs] = &[
    (Outcome::Hang, LOST, Billed::Free),
    (Outcome::Malformed, LOST, Billed::Price),
    (Outcome::Vanish, LOST, Billed::Price),
];
/// Those whose files are in the answer as well.
const INLINE: &[Differs] = &[
    (Outcome::Hang, LOST, Billed::Free),
    (Outcome::Malformed, LOST, Billed::Price),
    (Outcome::Vanish, LOST, Billed::Price),
    (Outcome::Cut, LOST, Billed::Price),
];

/// Every adapter. A new one is a line here.
pub(super) const WIRES: [Wire; 23] = [
    Wire {
        input: "[providers.input]\nprompt = \"$prompt\"\nsize = \"2048x2048\"\n",
        differs: AT_ONCE,
        ..picture("ark", "seedream-4-5-251128", 40_000)
    },
    Wire {
        name: "ark films",
        input: "[providers.input]\nprompt = \"$prompt\"\nresolution = \"720p\"\nduration = 5\ngenerate_audio = false\n",
        ..picture("ark", "seedance-1-5-pro-251215", 129_600)
    },
    picture("bfl", "flux-2-pro", 75_000),
    Wire {
        input: "[providers.input]\ninput = { prompt = \"$prompt\" }\nparameters = { size = \"1280*720\", duration = 5 }\n",
        ..picture("dashscope", "wan2.6-t2v", 500_000)
    },
    Wire {
        name: "dashscope pictures",
        input: "[providers.input]\ninput = { messages = [{ role = \"user\", content = [{ text = \"$prompt\" }] }] }\nparameters = { size = \"1328*1328\" }\n",
        differs: AT_ONCE,
        ..picture("dashscope", "qwen-image-plus", 30_000)
    },
    picture("fal", "fal-ai/nano-banana-pro", 150_000),
    Wire {
        input: "[providers.input]\nprompt = \"$prompt\"\ngenerationConfig = { responseModalities = [\"IMAGE\"] }\n",
        differs: INLINE,
        ..picture("gemini", "gemini-3-pro-image", 134_000)
    },
    Wire {
        input: "[providers.input]\nprompt = \"$prompt\"\n",
        // What is held back is made, and billed.
        differs: &[(
            Outcome::Moderated,
            Ends::Failed(code::CONTENT_MODERATED),
            Billed::Price,
        )],
        ..picture("ideogram", "generate/ideogram-3", 60_000)
    },
    enveloped(picture("kie", "nano-banana-pro", 90_000)),
    enveloped(songs("kie-suno", "kie")),
    Wire {
        input: "[providers.input]\nprompt = \"$prompt\"\nsettings = { resolution = \"720p\", audio = \"off\", duration = 5 }\n",
        ..picture("kling", "text-to-video/kling-3.0", 420_000)
    },
    Wire {
        name: "kling, its older API",
        input: "[providers.input]\nmodel_name = \"kling-image-o1\"\nprompt = \"$prompt\"\nn = 1\n",
        ..picture("kling", "images/omni-image", 28_000)
    },
    enveloped(Wire {
        input: "[providers.input]\nprompt = \"$prompt\"\nresolution = \"768P\"\nduration = 6\n",
        ..picture("minimax", "MiniMax-Hailuo-2.3", 280_000)
    }),
    enveloped(Wire {
        name: "minimax songs",
        input: "[providers.input]\nprompt = \"$prompt\"\nlyrics = \"la\"\n",
        differs: AT_ONCE,
        ..picture("minimax", "music-2.5", 150_000)
    }),
    Wire {
        input: "[providers.input]\nprompt = \"$prompt\"\nquality = \"medium\"\n",
        differs: INLINE,
        ..picture("openai", "gpt-image-1.5", 33_842)
    },
    enveloped(Wire {
        input: "[providers.input]\nprompt = \"$prompt\"\nquality = \"540p\"\nduration = 5\naspect_ratio = \"16:9\"\n",
        ..picture("pixverse", "v5.6", 450_000)
    }),
    picture("replicate", "google/nano-banana-pro", 150_000),
    enveloped(songs("sunoapi", "suno")),
    Wire {
        provider: "gemini",
        billed_as: "gemini",
        input: "[providers.input]\ninstances = [{ prompt = \"$prompt\" }]\nparameters = { durationSeconds = 4 }\n",
        ..picture("veo", "veo-3.1-fast-generate-preview", 400_000)
    },
    Wire {
        input: "[providers.input]\nprompt = \"$prompt\"\nresolution = \"720p\"\nduration = 5\n",
        ..picture("vidu", "viduq3-pro", 500_000)
    },
    Wire {
        input: "[providers.input]\nprompt = \"$prompt\"\n",
        differs: AT_ONCE,
        ..picture("xai", "grok-imagine-image", 20_000)
    },
    Wire {
        name: "xai films",
        input: "[providers.input]\nprompt = \"$prompt\"\nduration = 6\n",
        ..picture("xai", "grok-imagine-video", 300_000)
    },
    // The adapter of whatever a file describes.
    Wire {
        billed_as: "rest",
        ..picture("acme", "picture-1", 20_000)
    },
];

const fn picture(adapter: &'static str, model: &'static str, price: i64) -> Wire {
    Wire {
        name: adapter,
        adapter,
        provider: adapter,
        billed_as: adapter,
        model,
        input: "",
        files: 1,
        price,
        busy: code::UPSTREAM_BUSY,
        differs: &[],
        except: &[],
    }
}

/// Whatever goes wrong, HTTP says that all is well.
const fn enveloped(wire: Wire) -> Wire {
    Wire {
        busy: code::UPSTREAM_FAILED,
        ..wire
    }
}

const fn songs(adapter: &'static str, provider: &'static str) -> Wire {
    Wire {
        provider,
        billed_as: provider,
        input: "[providers.input]\nmodel = \"V4\"\ncustomMode = false\ninstrumental = false\nprompt = \"$prompt\"\n",
        files: 2,
        ..picture(adapter, "generate", 60_000)
    }
}
