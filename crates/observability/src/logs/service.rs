//! Whose line it is.

use super::ACCESS_TARGET;
use super::settings::LogSettings;
use crate::context::current_service;

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

    /// The service in whose name the task works, else the one whose module wrote the line, else the process.
    pub(super) fn of(self, target: &str) -> &'static str {
        current_service().or_else(|| self.of_target(target)).unwrap_or(self.process)
    }

    fn of_target(self, target: &str) -> Option<&'static str> {
        let module = target.split_once("::").map_or(target, |(module, _)| module);
        self.targets.iter().find(|(name, _)| *name == module).map(|(_, service)| *service)
    }
}

/// Whether a target is that of the access log.
pub(super) fn is_access(target: &str) -> bool {
    target == ACCESS_TARGET
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RequestContext;

    #[test]
    fn a_line_speaks_for_the_service_that_wrote_it() {
        let settings =
            LogSettings { services: &[("orders", "orders"), (ACCESS_TARGET, "gateway")], ..LogSettings::new("shop") };
        let services = Services::new(&settings);
        assert_eq!(services.of("orders::application::saga"), "orders");
        assert_eq!(services.of("orders"), "orders");
        assert_eq!(services.of("orders_too::api"), "shop");
        assert_eq!(services.of(ACCESS_TARGET), "gateway");
        assert_eq!(services.of("sqlite::writer"), "shop");
        let context = RequestContext::background().in_service("payment");
        let _entered = context.enter();
        assert_eq!(services.of("orders"), "payment");
    }
}
