//! The providers we know by name: where each usually is, and which environment variable customarily holds its credential.
//! A provider that is not in this table is reached by configuration alone (`providers.<name>`).

use serde::Deserialize;

/// One provider we know by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownProvider {
    /// Its name in model files and in the configuration.
    pub name: &'static str,
    /// Where it is, unless `providers.<name>.base_url` says otherwise.
    pub base_url: &'static str,
    /// The environment variable that customarily holds its credential.
    pub variable: &'static str,
    /// What follows the sandbox's address in its simulation's base URL.
    pub sandbox_path: &'static str,
    /// Where it leaves the common ground of OpenAI's chat protocol.
    pub dialect: Dialect,
}

/// What compatible servers of OpenAI's chat protocol spell differently. The default is what a server takes that we do not know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dialect {
    /// How our `include_thoughts` is spelled.
    pub thoughts: Thoughts,
    /// Where the limit of output goes that a customer did not name.
    pub output_limit: OutputLimit,
    /// What stands before OpenAI's paths, below the base URL: where a provider speaks OpenAI's protocol beside its own.
    pub prefix: &'static str,
}

/// How a provider spells our `include_thoughts`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Thoughts {
    /// It has no such thing: the field is dropped.
    #[default]
    Unknown,
    /// Google: `extra_body.google.thinking_config.include_thoughts`. A customer's own `extra_body` stays as it is, and wins.
    Google,
}

/// The field of a provider's limit of output tokens.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum OutputLimit {
    /// `max_tokens`: every compatible server knows it.
    #[default]
    MaxTokens,
    /// `max_completion_tokens`: OpenAI, whose reasoning models refuse the other.
    MaxCompletionTokens,
}

/// The common ground.
const COMMON: Dialect = Dialect {
    thoughts: Thoughts::Unknown,
    output_limit: OutputLimit::MaxTokens,
    prefix: "",
};

/// Every provider we know by name. A new adapter for another one adds a row.
pub const PROVIDERS: &[KnownProvider] = &[
    KnownProvider {
        name: "anthropic",
        base_url: "https://api.anthropic.com/v1",
        variable: "ANTHROPIC_API_KEY",
        sandbox_path: "anthropic/v1",
        dialect: COMMON,
    },
    KnownProvider {
        name: "ark",
        base_url: "https://ark.ap-southeast.bytepluses.com/api/v3",
        variable: "ARK_API_KEY",
        sandbox_path: "ark/api/v3",
        dialect: COMMON,
    },
    KnownProvider {
        name: "bfl",
        base_url: "https://api.bfl.ai",
        variable: "BFL_API_KEY",
        sandbox_path: "bfl",
        dialect: COMMON,
    },
    KnownProvider {
        name: "bria",
        base_url: "https://engine.prod.bria-api.com/v2",
        variable: "BRIA_API_KEY",
        sandbox_path: "bria/v2",
        dialect: COMMON,
    },
    // Keys are of a region: this is that of Singapore.
    KnownProvider {
        name: "dashscope",
        base_url: "https://dashscope-intl.aliyuncs.com",
        variable: "DASHSCOPE_API_KEY",
        sandbox_path: "dashscope",
        dialect: COMMON,
    },
    KnownProvider {
        name: "elevenlabs",
        base_url: "https://api.elevenlabs.io",
        variable: "ELEVENLABS_API_KEY",
        sandbox_path: "elevenlabs",
        dialect: COMMON,
    },
    KnownProvider {
        name: "fal",
        base_url: "https://queue.fal.run",
        variable: "FAL_KEY",
        sandbox_path: "fal",
        dialect: COMMON,
    },
    KnownProvider {
        name: "gemini",
        base_url: "https://generativelanguage.googleapis.com/v1beta",
        variable: "GEMINI_API_KEY",
        sandbox_path: "gemini/v1beta",
        dialect: Dialect {
            thoughts: Thoughts::Google,
            prefix: "openai/",
            ..COMMON
        },
    },
    KnownProvider {
        name: "ideogram",
        base_url: "https://api.ideogram.ai",
        variable: "IDEOGRAM_API_KEY",
        sandbox_path: "ideogram",
        dialect: COMMON,
    },
    KnownProvider {
        name: "kie",
        base_url: "https://api.kie.ai",
        variable: "KIE_API_KEY",
        sandbox_path: "kie",
        dialect: COMMON,
    },
    KnownProvider {
        name: "kling",
        base_url: "https://api-singapore.klingai.com",
        variable: "KLING_API_KEY",
        sandbox_path: "kling",
        dialect: COMMON,
    },
    KnownProvider {
        name: "minimax",
        base_url: "https://api.minimax.io",
        variable: "MINIMAX_API_KEY",
        sandbox_path: "minimax",
        dialect: COMMON,
    },
    KnownProvider {
        name: "openai",
        base_url: "https://api.openai.com/v1",
        variable: "OPENAI_API_KEY",
        sandbox_path: "openai/v1",
        dialect: Dialect {
            output_limit: OutputLimit::MaxCompletionTokens,
            ..COMMON
        },
    },
    KnownProvider {
        name: "photoroom",
        base_url: "https://sdk.photoroom.com/v1",
        variable: "PHOTOROOM_API_KEY",
        sandbox_path: "photoroom/v1",
        dialect: COMMON,
    },
    KnownProvider {
        name: "piapi",
        base_url: "https://api.piapi.ai",
        variable: "PIAPI_API_KEY",
        sandbox_path: "piapi",
        dialect: COMMON,
    },
    KnownProvider {
        name: "pixverse",
        base_url: "https://app-api.pixverse.ai",
        variable: "PIXVERSE_API_KEY",
        sandbox_path: "pixverse",
        dialect: COMMON,
    },
    KnownProvider {
        name: "removebg",
        base_url: "https://api.remove.bg/v1.0",
        variable: "REMOVEBG_API_KEY",
        sandbox_path: "removebg/v1.0",
        dialect: COMMON,
    },
    KnownProvider {
        name: "segmind",
        base_url: "https://api.segmind.com/v1",
        variable: "SEGMIND_API_KEY",
        sandbox_path: "segmind/v1",
        dialect: COMMON,
    },
    KnownProvider {
        name: "suno",
        base_url: "https://api.sunoapi.org",
        variable: "SUNO_API_KEY",
        sandbox_path: "suno",
        dialect: COMMON,
    },
    KnownProvider {
        name: "replicate",
        base_url: "https://api.replicate.com",
        variable: "REPLICATE_API_TOKEN",
        sandbox_path: "replicate",
        dialect: COMMON,
    },
    KnownProvider {
        name: "topaz",
        base_url: "https://api.topazlabs.com",
        variable: "TOPAZ_API_KEY",
        sandbox_path: "topaz",
        dialect: COMMON,
    },
    KnownProvider {
        name: "vidu",
        base_url: "https://api.vidu.com",
        variable: "VIDU_API_KEY",
        sandbox_path: "vidu",
        dialect: COMMON,
    },
    KnownProvider {
        name: "xai",
        base_url: "https://api.x.ai/v1",
        variable: "XAI_API_KEY",
        sandbox_path: "xai/v1",
        dialect: COMMON,
    },
];

/// Providers that OpenTelemetry's conventions for generative models call otherwise than we do.
const CONVENTIONAL: [(&str, &str); 10] = [
    ("azure", "azure.ai.openai"),
    ("bedrock", "aws.bedrock"),
    ("gemini", "gcp.gemini"),
    ("google", "gcp.gemini"),
    ("mistral", "mistral_ai"),
    ("moonshot", "moonshot_ai"),
    ("vertex", "gcp.vertex_ai"),
    ("vertex-ai", "gcp.vertex_ai"),
    ("watsonx", "ibm.watsonx.ai"),
    ("xai", "x_ai"),
];

/// What OpenTelemetry's conventions call a provider, for traces and figures; our own name of one that they do not know.
pub fn conventional_name(provider: &str) -> &str {
    let row = CONVENTIONAL.iter().find(|(ours, _)| *ours == provider);
    row.map_or(provider, |(_, theirs)| theirs)
}

// === impl OutputLimit ===

impl OutputLimit {
    /// The field's name.
    pub const fn field(self) -> &'static str {
        match self {
            Self::MaxTokens => "max_tokens",
            Self::MaxCompletionTokens => "max_completion_tokens",
        }
    }
}

// === impl KnownProvider ===

impl KnownProvider {
    /// The provider of this name.
    pub fn find(name: &str) -> Option<&'static Self> {
        PROVIDERS.iter().find(|provider| provider.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_we_do_not_know_speaks_the_common_ground() {
        assert_eq!(Dialect::default(), COMMON);
    }

    #[test]
    fn conventions_have_names_of_their_own() {
        let names = ["anthropic", "gemini", "openai", "somebody"].map(conventional_name);
        assert_eq!(names, ["anthropic", "gcp.gemini", "openai", "somebody"]);
    }

    #[test]
    fn every_provider_of_the_built_in_models_is_known() {
        let catalogue = crate::Catalogue::built_in().unwrap();
        for route in catalogue.models().iter().flat_map(|model| &model.providers) {
            assert!(
                KnownProvider::find(&route.provider).is_some(),
                "{}",
                route.provider
            );
        }
    }
}
