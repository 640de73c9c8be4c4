//! Whose line it is.

use super::ACCESS_TARGET;
use super::settings::LogSettings;
use crate::context::RequestContext;

/// The services that lines of this process may speak for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Services {
    process: &'static str,
    targets: &'static [(&'static str, &'static str)],
}

impl Services {
    pub(super) fn new(settings: &LogSettings) -> Self {
        Self { process: settings.service, targets: settings.services }
    }

    /// The service that works for the request, else the one whose module wrote the line, else the process.
    pub(super) fn of(self, context: Option<&RequestContext>, target: &str) -> &'static str {
        context.and_then(service_of).or_else(|| self.of_target(target)).unwrap_or(self.process)
    }

    fn of_target(self, target: &str) -> Option<&'static str> {
        let module = target.split_once("::").map_or(target, |(module, _)| module);
        self.targets.iter().find(|(name, _)| *name == module).map(|(_, service)| *service)
    }
}

/// The service in whose name the request is worked for.
fn service_of(_: &RequestContext) -> Option<&'static str> {
    None
}

/// Whether a target is that of the access log.
pub(super) fn is_access(target: &str) -> bool {
    target == ACCESS_TARGET
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_speaks_for_the_service_that_wrote_it() {
        let settings =
            LogSettings { services: &[("orders", "orders"), (ACCESS_TARGET, "gateway")], ..LogSettings::new("shop") };
        let services = Services::new(&settings);
        assert_eq!(services.of(None, "orders::application::saga"), "orders");
        assert_eq!(services.of(None, "orders"), "orders");
        assert_eq!(services.of(None, "orders_too::api"), "shop");
        assert_eq!(services.of(None, ACCESS_TARGET), "gateway");
        assert_eq!(services.of(None, "sqlite::writer"), "shop");
    }
}
