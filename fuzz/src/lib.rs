//! What targets have in common that need a provider to answer them.

#[cfg(feature = "services")]
#[path = "../../crates/testkit/src/parrot.rs"]
mod parrot;

#[cfg(feature = "services")]
pub use house::House;
#[cfg(feature = "services")]
pub use parrot::Parrot;

#[cfg(feature = "services")]
mod house {
    use tokio::runtime::Runtime;
    use url::Url;

    use crate::Parrot;

    /// A provider that repeats itself, and what runs it.
    pub struct House {
        /// What it says.
        pub parrot: Parrot,
        /// Where it is.
        pub origin: Url,
        /// What runs it, and what asks it.
        pub runtime: Runtime,
    }

    impl House {
        /// Starts it; nothing where the system does not let it.
        pub fn start() -> Option<Self> {
            // Whoever was first has set the same.
            let _ = rustls::crypto::ring::default_provider().install_default();
            let runtime = Runtime::new().ok()?;
            let (parrot, listener) = runtime.block_on(Parrot::start()).ok()?;
            runtime.spawn(parrot.clone().serve(listener));
            let origin = Url::parse(&parrot.base()).ok()?;
            Some(Self {
                parrot,
                origin,
                runtime,
            })
        }
    }
}
