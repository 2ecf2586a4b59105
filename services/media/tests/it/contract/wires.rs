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

/// A second of silence, a hundred samples of it, as a WAV file.
macro_rules! recording {
    () => {
        "\"data:audio/wav;base64,UklGRogAAABXQVZFZm10IBAAAAABAAEAZAAAAGQAAAABAAgAZGF0YWQAAACAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICA\""
    };
}

/// Of whom nobody knows whether a 500 or a 503 is their own word.
const VAGUE: &[Differs] = &[
    (Outcome::Hang, LOST, Billed::Free),
    (Outcome::Malformed, LOST, Billed::Price),
    (Outcome::Vanish, LOST, Billed::Price),
    (Outcome::Cut, LOST, Billed::Price),
    (Outcome::Fail, LOST, Billed::Free),
    (Outcome::Overloaded, LOST, Billed::Nothing),
];

/// Every adapter. A new one is a line here.
pub(super) const WIRES: [Wire; 35] = [
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
        input: "[providers.input]\nimage = { join = [\"https://example.com/fox.png?\", \"$prompt\"], by = \"\" }\n",
        // The status that says so is nobody else's.
        busy: code::UPSTREAM_FAILED,
        ..picture("bria", "image/edit/remove_background", 18_000)
    },
    Wire {
        name: "bria films",
        input: "[providers.input]\nvideo = { join = [\"https://example.com/fox.mp4?\", \"$prompt\"], by = \"\" }\nbackground_color = \"Transparent\"\noutput_container_and_codec = \"webm_vp9\"\n",
        busy: code::UPSTREAM_FAILED,
        ..picture("bria", "video/edit/remove_background", 560_000)
    },
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
    Wire {
        input: "[providers.input]\ninputs = [{ text = \"$prompt\", voice_id = \"EXAVITQu4vr4xnSDxMaL\" }]\noutput_format = \"mp3_44100_128\"\n",
        differs: INLINE,
        // That they are busy, they say with the status of who asks too often.
        busy: code::UPSTREAM_FAILED,
        // Five characters, without the directive.
        ..picture("elevenlabs", "eleven_v3", 500)
    },
    Wire {
        name: "elevenlabs transcripts",
        input: concat!(
            "[providers.input]\nkeyterms = \"$prompt\"\nfile = ",
            recording!(),
            "\n"
        ),
        differs: INLINE,
        busy: code::UPSTREAM_FAILED,
        ..picture("elevenlabs", "scribe_v2", 112)
    },
    picture("fal", "fal-ai/nano-banana-pro", 150_000),
    Wire {
        name: "fal transcripts",
        input: concat!(
            "[providers.input]\nkeyterms = [\"$prompt\"]\naudio_url = ",
            recording!(),
            "\n"
        ),
        ..picture("fal", "fal-ai/elevenlabs/speech-to-text/scribe-v2", 133)
    },
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
    Wire {
        name: "openai speech",
        provider: "openai",
        billed_as: "openai",
        input: "[providers.input]\ninput = \"$prompt\"\nvoice = \"alloy\"\nresponse_format = \"mp3\"\n",
        differs: INLINE,
        ..picture("openai-audio", "tts-1", 75)
    },
    Wire {
        name: "openai transcripts",
        provider: "openai",
        billed_as: "openai",
        input: concat!(
            "[providers.input]\nprompt = \"$prompt\"\nfile = ",
            recording!(),
            "\n"
        ),
        differs: INLINE,
        ..picture("openai-audio", "whisper-1", 100)
    },
    Wire {
        input: "[providers.input]\nimage_file = { join = [\"https://example.com/fox.png?\", \"$prompt\"], by = \"\" }\nformat = \"png\"\n",
        differs: VAGUE,
        ..picture("photoroom", "segment", 20_000)
    },
    Wire {
        input: "[providers.input]\ntarget_image = { join = [\"https://example.com/fox.png?\", \"$prompt\"], by = \"\" }\nswap_image = \"https://example.com/face.png\"\n",
        ..picture("piapi", "Qubico/image-toolkit/face-swap", 10_000)
    },
    enveloped(Wire {
        input: "[providers.input]\nprompt = \"$prompt\"\nquality = \"540p\"\nduration = 5\naspect_ratio = \"16:9\"\n",
        ..picture("pixverse", "v5.6", 450_000)
    }),
    Wire {
        input: "[providers.input]\nimage_url = { join = [\"https://example.com/fox.png?\", \"$prompt\"], by = \"\" }\nsize = \"auto\"\nformat = \"png\"\n",
        differs: INLINE,
        ..picture("removebg", "removebg", 200_000)
    },
    picture("replicate", "google/nano-banana-pro", 150_000),
    Wire {
        input: "[providers.input]\ntarget_image = { join = [\"https://example.com/fox.png?\", \"$prompt\"], by = \"\" }\nsource_image = \"https://example.com/face.png\"\n",
        differs: VAGUE,
        ..picture("segmind", "faceswap-v5", 50_000)
    },
    enveloped(songs("sunoapi", "suno")),
    Wire {
        input: "[providers.input]\nmodel = \"Standard V2\"\nsource_url = { join = [\"https://example.com/fox.png?\", \"$prompt\"], by = \"\" }\n",
        ..picture("topaz", "enhance", 80_000)
    },
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
