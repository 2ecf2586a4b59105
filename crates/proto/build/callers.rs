//! Generates, beside tonic's client and server of a service, what calls the service by the messages themselves where it is in the same
//! process: `<name>_caller`.

use std::fmt::{self, Write};

use prost_build::{Method, Service, ServiceGenerator};

/// Generates tonic's code, and the callers.
pub(crate) struct WithCallers(pub(crate) Box<dyn ServiceGenerator>);

/// One service.
struct Caller<'a> {
    service: &'a Service,
    /// `chat`, as in `chat_client`.
    module: String,
}

// === impl WithCallers ===

impl ServiceGenerator for WithCallers {
    fn generate(&mut self, service: Service, code: &mut String) {
        // Only a decoder makes what a handler takes a stream from: such a service is called over HTTP alone.
        let takes_streams = service.methods.iter().any(|method| method.client_streaming);
        if !takes_streams {
            let module = service.name.to_lowercase();
            let caller = Caller {
                service: &service,
                module,
            };
            // Writing to a text does not fail.
            let _ = write!(code, "{caller}");
        }
        self.0.generate(service, code);
    }

    fn finalize(&mut self, code: &mut String) {
        self.0.finalize(code);
    }

    fn finalize_package(&mut self, package: &str, code: &mut String) {
        self.0.finalize_package(package, code);
    }
}

// === impl Caller ===

impl fmt::Display for Caller<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, module) = (&self.service.name, &self.module);
        let methods = || self.service.methods.iter();
        writeln!(
            f,
            "/// {name}, called by the messages themselves where it is in this process.
             pub mod {module}_caller {{
                 use std::sync::Arc;
                 use tonic::{{Request, Response, Status}};
                 use chassis::rpc::{{Channel, call}};
                 use crate::direct::Answer;
                 use super::{module}_client::{name}Client;
                 use super::{module}_server::{name};
                 /// Whoever is called in this process.
                 pub trait Handler: Send + Sync + 'static {{"
        )?;
        for method in methods() {
            writeln!(f, "{};", signature(method))?;
        }
        writeln!(f, "}}\nimpl<S: {name}> Handler for S {{")?;
        for method in methods() {
            writeln!(f, "{} {{ {} }}", signature(method), self.handled(method))?;
        }
        writeln!(
            f,
            "}}
             /// A service for callers in this process: for `Channel::with`.
             pub fn here(service: impl {name}) -> Arc<dyn Handler> {{ Arc::new(service) }}
             /// Calls the service.
             #[derive(Clone)]
             pub enum {name}Caller {{
                 /// In this process.
                 Here(Arc<dyn Handler>),
                 /// Over HTTP.
                 Wire({name}Client<Channel>),
             }}
             impl {name}Caller {{
                 /// Calls what is at the end of a way.
                 pub fn new(channel: Channel) -> Self {{
                     match channel.here::<dyn Handler>() {{
                         Some(service) => Self::Here(service),
                         None => Self::Wire({name}Client::new(channel)),
                     }}
                 }}
                 /// The largest answer that is taken over HTTP, in bytes.
                 #[must_use]
                 pub fn max_decoding_message_size(self, limit: usize) -> Self {{
                     match self {{
                         Self::Here(service) => Self::Here(service),
                         Self::Wire(client) => Self::Wire(client.max_decoding_message_size(limit)),
                     }}
                 }}"
        )?;
        for method in methods() {
            writeln!(f, "{}", self.called(method))?;
        }
        writeln!(
            f,
            "}}
             impl std::fmt::Debug for {name}Caller {{
                 fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {{
                     f.write_str(match self {{
                         Self::Here(_) => \"{name} in this process\",
                         Self::Wire(_) => \"{name} over HTTP\",
                     }})
                 }}
             }}
             }}"
        )
    }
}

impl Caller<'_> {
    /// What a handler does.
    fn handled(&self, method: &Method) -> String {
        let called = format!("{}::{}(self, request)", self.service.name, method.name);
        if method.server_streaming {
            format!(
                "Box::pin(async move {{ Ok({called}.await?.map(crate::direct::Messages::here)) }})"
            )
        } else {
            called
        }
    }

    /// What a caller does.
    fn called(&self, method: &Method) -> String {
        let Service {
            package,
            proto_name,
            ..
        } = self.service;
        let (name, input) = (&method.name, input(method));
        let path = format!("/{package}.{proto_name}/{}", method.proto_name);
        // Boxed, so that whoever calls in this process need not have room for it.
        let mut over = format!("Box::pin(client.{name}(request)).await");
        if method.server_streaming {
            over = format!("Ok({over}?.map(crate::direct::Messages::from))");
        }
        format!(
            "{comments}
             pub async fn {name}(&mut self, request: Request<{input}>) -> Result<Response<{output}>, Status> {{
                 match self {{
                     Self::Here(service) => call(\"{path}\", request, |request| service.{name}(request)).await,
                     Self::Wire(client) => {over},
                 }}
             }}",
            output = output(method),
            comments = comments(method),
        )
    }
}

fn signature(method: &Method) -> String {
    format!(
        "{}\nfn {}(&self, request: Request<{}>) -> Answer<'_, {}>",
        comments(method),
        method.name,
        input(method),
        output(method)
    )
}

fn comments(method: &Method) -> String {
    let lines = method.comments.leading.iter();
    lines.map(|line| format!("/// {}\n", line.trim())).collect()
}

fn input(method: &Method) -> String {
    format!("super::{}", method.input_type)
}

fn output(method: &Method) -> String {
    let message = format!("super::{}", method.output_type);
    if method.server_streaming {
        format!("crate::direct::Messages<{message}>")
    } else {
        message
    }
}
