//! Spans as a receiver sees them, and the tree they make.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use serde_json::Value;

type Attributes = BTreeMap<String, Value>;

/// One span, with what its resource says.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) service: String,
    pub(crate) resource: Attributes,
    pub(crate) trace: String,
    pub(crate) id: String,
    pub(crate) parent: Option<String>,
    pub(crate) name: String,
    pub(crate) kind: SpanKind,
    pub(crate) attributes: Attributes,
    /// Whether its status is an error.
    pub(crate) failed: bool,
    /// All that was sent of it, for those who look for what must not be there.
    pub(crate) raw: String,
}

fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn value(any: Option<&AnyValue>) -> Value {
    match any.and_then(|any| any.value.as_ref()) {
        Some(Any::StringValue(text)) => text.as_str().into(),
        Some(Any::BoolValue(value)) => (*value).into(),
        Some(Any::IntValue(value)) => (*value).into(),
        Some(Any::DoubleValue(value)) => (*value).into(),
        Some(Any::ArrayValue(array)) => array.values.iter().map(|any| value(Some(any))).collect(),
        other => other.map_or(Value::Null, |other| format!("{other:?}").into()),
    }
}

fn attributes(pairs: &[KeyValue]) -> Attributes {
    pairs.iter().map(|pair| (pair.key.clone(), value(pair.value.as_ref()))).collect()
}

impl Span {
    /// The spans of an export.
    pub(crate) fn all(export: &ExportTraceServiceRequest) -> Vec<Self> {
        let mut spans = Vec::new();
        for of_resource in &export.resource_spans {
            let resource = of_resource.resource.as_ref().map(|resource| attributes(&resource.attributes));
            let resource = resource.unwrap_or_default();
            let service = resource.get("service.name").and_then(Value::as_str).unwrap_or_default().to_owned();
            for span in of_resource.scope_spans.iter().flat_map(|scope| &scope.spans) {
                spans.push(Self {
                    service: service.clone(),
                    resource: resource.clone(),
                    trace: hex(&span.trace_id),
                    id: hex(&span.span_id),
                    parent: (!span.parent_span_id.is_empty()).then(|| hex(&span.parent_span_id)),
                    name: span.name.clone(),
                    kind: span.kind(),
                    attributes: attributes(&span.attributes),
                    failed: span.status.as_ref().is_some_and(|status| status.code == 2),
                    raw: format!("{resource:?} {span:?}"),
                });
            }
        }
        spans
    }

    /// An attribute; `Null` where it is not set.
    pub(crate) fn attribute(&self, name: &str) -> &Value {
        self.attributes.get(name).unwrap_or(&Value::Null)
    }

    /// Fails unless these attributes have these values.
    pub(crate) fn assert_attributes(&self, wanted: &[(&str, Value)]) {
        for (name, value) in wanted {
            assert_eq!(self.attribute(name), value, "{name} of {self}");
        }
    }

    /// Fails unless these attributes are there, whatever their values.
    pub(crate) fn assert_has(&self, wanted: &[&str]) {
        for name in wanted {
            assert!(self.attributes.contains_key(*name), "{name} of {self}");
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failed = if self.failed { " FAILED" } else { "" };
        write!(
            f,
            "{} {:?} {}{failed} {}",
            self.service,
            self.kind,
            self.name,
            Value::from_iter(self.attributes.clone())
        )
    }
}

/// Some spans.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spans(pub(crate) Vec<Span>);

impl Spans {
    /// Those of one trace.
    pub(crate) fn of_trace(&self, trace: &str) -> Self {
        Self(self.0.iter().filter(|span| span.trace == trace).cloned().collect())
    }

    /// The traces that hold a span of the gateway for a request to this route.
    pub(crate) fn traces_of_route(&self, name: &str) -> BTreeSet<String> {
        let entries = self.0.iter().filter(|span| span.service == "gateway" && span.name == name);
        entries.map(|span| span.trace.clone()).collect()
    }

    /// Those of a service, a kind and a name that ends with this.
    pub(crate) fn find(&self, service: &str, kind: SpanKind, name: &str) -> Vec<&Span> {
        let is_one = |span: &&Span| span.service == service && span.kind == kind && span.name.ends_with(name);
        self.0.iter().filter(is_one).collect()
    }

    /// The only one of them.
    pub(crate) fn the(&self, service: &str, kind: SpanKind, name: &str) -> &Span {
        let found = self.find(service, kind, name);
        assert_eq!(found.len(), 1, "{service} {kind:?} {name} in\n{self}");
        found[0]
    }

    /// Those that begin inside this one.
    pub(crate) fn children(&self, of: &Span) -> Vec<&Span> {
        self.0.iter().filter(|span| span.parent.as_deref() == Some(&of.id)).collect()
    }

    /// From the span outwards to a root, the span first.
    pub(crate) fn ancestry(&self, of: &Span) -> Vec<&Span> {
        let mut line: Vec<&Span> = self.0.iter().filter(|span| span.id == of.id).collect();
        while let Some(parent) = line.last().and_then(|span| span.parent.as_deref()) {
            let Some(parent) = self.0.iter().find(|span| span.id == parent) else { break };
            line.push(parent);
        }
        line
    }

    /// Spans without a parent, or whose parent is `caller`, who sends no spans.
    pub(crate) fn roots(&self, caller: Option<&str>) -> Vec<&Span> {
        self.0.iter().filter(|span| span.parent.as_deref() == caller).collect()
    }

    /// Spans whose parent is not among these and not `caller`.
    pub(crate) fn orphans(&self, caller: Option<&str>) -> Vec<&Span> {
        let ids: BTreeSet<&str> = self.0.iter().map(|span| span.id.as_str()).collect();
        let is_orphan =
            |span: &&Span| span.parent.as_deref().is_some_and(|parent| Some(parent) != caller && !ids.contains(parent));
        self.0.iter().filter(is_orphan).collect()
    }

    /// The services that they are of.
    pub(crate) fn services(&self) -> BTreeSet<&str> {
        self.0.iter().map(|span| span.service.as_str()).collect()
    }

    fn write_below(&self, f: &mut fmt::Formatter<'_>, span: &Span, depth: usize) -> fmt::Result {
        writeln!(f, "{:indent$}{span}", "", indent = depth * 2)?;
        self.children(span).into_iter().try_for_each(|child| self.write_below(f, child, depth + 1))
    }
}

/// As trees, for the message of a failed test.
impl fmt::Display for Spans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut tops = self.roots(None);
        tops.extend(self.orphans(None));
        tops.into_iter().try_for_each(|top| self.write_below(f, top, 0))
    }
}
