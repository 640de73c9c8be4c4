//! Sends batches of spans, each service's under its own name, although they may share a process.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Duration;

use opentelemetry::{KeyValue, Value};
use opentelemetry_http::hyper::HyperClient;
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::TelemetryResourceDetector;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};

use super::SPANS;
use super::clean::clean;
use super::settings::{OtlpEndpoint, OtlpProtocol};

/// The attribute by which a span names its service on the way to the exporter, and the resource's afterwards.
pub(super) const SERVICE_NAME: &str = "service.name";
/// How long a collector may take for a batch.
const TIMEOUT: Duration = Duration::from_secs(5);

/// One OTLP exporter for each service.
#[derive(Debug)]
pub(super) struct Exporter {
    endpoint: OtlpEndpoint,
    process: &'static str,
    attributes: Vec<KeyValue>,
    by_service: HashMap<String, SpanExporter>,
    /// Whether the last batch got through: its loss is told once, and so is its end.
    reachable: bool,
}

impl Exporter {
    pub(super) fn new(endpoint: OtlpEndpoint, process: &'static str, attributes: Vec<KeyValue>) -> Self {
        Self { endpoint, process, attributes, by_service: HashMap::new(), reachable: true }
    }

    /// Sends these spans; what can't be sent is counted and lost. Inside of a tokio runtime.
    pub(super) async fn export(&mut self, spans: Vec<SpanData>) {
        for (service, spans) in by_service(spans, self.process) {
            let count = spans.len() as u64;
            let exported = match self.exporter(service) {
                Ok(exporter) => exporter.export(spans).await.map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            };
            let outcome = if exported.is_ok() { "exported" } else { "failed" };
            SPANS.with_label_values(&[outcome]).inc_by(count);
            self.tell(exported);
        }
    }

    fn tell(&mut self, exported: Result<(), String>) {
        match exported {
            Err(error) if self.reachable => {
                tracing::warn!(endpoint = %self.endpoint.uri, error, "spans are lost: the collector does not take them");
                self.reachable = false;
            }
            Ok(()) if !self.reachable => {
                tracing::info!(endpoint = %self.endpoint.uri, "the collector takes spans again");
                self.reachable = true;
            }
            _ => {}
        }
    }

    fn exporter(&mut self, service: String) -> Result<&SpanExporter, ExporterBuildError> {
        match self.by_service.entry(service) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(new) => {
                // What is read from the environment by default is not: settings come from one place.
                let resource = Resource::builder_empty()
                    .with_detector(Box::new(TelemetryResourceDetector))
                    .with_attributes(self.attributes.clone())
                    .with_service_name(new.key().clone())
                    .build();
                let mut exporter = build(&self.endpoint)?;
                exporter.set_resource(&resource);
                Ok(new.insert(exporter))
            }
        }
    }
}

fn build(endpoint: &OtlpEndpoint) -> Result<SpanExporter, ExporterBuildError> {
    let base = endpoint.uri.to_string();
    match endpoint.protocol {
        OtlpProtocol::Grpc => SpanExporter::builder().with_tonic().with_endpoint(base).with_timeout(TIMEOUT).build(),
        OtlpProtocol::Http => {
            let base = base.trim_end_matches('/');
            // The path of the specification, unless one is given.
            let address = if endpoint.uri.path().len() > 1 { base.to_owned() } else { format!("{base}/v1/traces") };
            SpanExporter::builder()
                .with_http()
                .with_http_client(HyperClient::with_default_connector(TIMEOUT, None))
                .with_endpoint(address)
                .with_timeout(TIMEOUT)
                .build()
        }
    }
}

/// Each service's spans, cleaned.
fn by_service(spans: Vec<SpanData>, process: &'static str) -> HashMap<String, Vec<SpanData>> {
    let mut services: HashMap<String, Vec<SpanData>> = HashMap::new();
    for mut span in spans {
        let named = span.attributes.iter().position(|attribute| attribute.key.as_str() == SERVICE_NAME);
        let service = match named.map(|index| span.attributes.swap_remove(index).value) {
            Some(Value::String(service)) => service.as_str().to_owned(),
            _ => process.to_owned(),
        };
        clean(&mut span);
        services.entry(service).or_default().push(span);
    }
    services
}
