//! Paths that are not worth a line.

use std::str::FromStr;

/// Paths that the access log leaves out; none by default.
///
/// Parsed from a comma-separated list: `/metrics` is that path, `/health/*` is all that begin with `/health/`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Skip(Vec<Rule>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Rule {
    Path(String),
    Below(String),
}

/// A rule that is none.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{rule}' is no path such as /metrics or /health/*")]
pub struct InvalidSkip {
    rule: String,
}

impl Skip {
    /// Whether a path, without its query, is left out.
    pub fn matches(&self, path: &str) -> bool {
        self.0.iter().any(|rule| match rule {
            Rule::Path(whole) => whole == path,
            Rule::Below(start) => path.starts_with(start.as_str()),
        })
    }
}

impl FromStr for Skip {
    type Err = InvalidSkip;

    fn from_str(text: &str) -> Result<Self, InvalidSkip> {
        text.split(',').map(str::trim).filter(|rule| !rule.is_empty()).map(parse).collect::<Result<_, _>>().map(Self)
    }
}

fn parse(rule: &str) -> Result<Rule, InvalidSkip> {
    let invalid = || InvalidSkip { rule: rule.to_owned() };
    let (path, below) = rule.strip_suffix("/*").map_or((rule, false), |start| (start, true));
    if path.contains(['*', '?', '#']) || !rule.starts_with('/') {
        return Err(invalid());
    }
    Ok(if below { Rule::Below(format!("{path}/")) } else { Rule::Path(path.to_owned()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_a_path_or_all_below_one() {
        let skip: Skip = "/health/*, /metrics,".parse().unwrap();
        for path in ["/health/live", "/health/", "/health/a/b", "/metrics"] {
            assert!(skip.matches(path), "{path}");
        }
        for path in ["/health", "/healthy", "/metrics/", "/", "/x/health/live"] {
            assert!(!skip.matches(path), "{path}");
        }
        assert!(!"".parse::<Skip>().unwrap().matches("/"));
        assert!("/*".parse::<Skip>().unwrap().matches("/anything"));
    }

    #[test]
    fn what_is_no_path_is_refused_by_name() {
        for bad in ["health", "/a*", "*", "/a/*/b", "/a?b"] {
            assert!(bad.parse::<Skip>().unwrap_err().to_string().contains(bad), "{bad}");
        }
    }
}
