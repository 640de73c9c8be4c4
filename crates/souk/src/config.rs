//! `souk config`.

use crate::cli::{ConfigOptions, UpOptions};
use crate::settings::Settings;

/// Prints the settings that `souk up` would use.
pub(crate) fn run(options: &ConfigOptions) -> anyhow::Result<()> {
    let up = UpOptions::at(options.places.clone());
    let (_, mut effective) = Settings::load(&up)?;
    effective.sort_by(|a, b| a.key.cmp(&b.key));
    let key_width = effective.iter().map(|setting| setting.key.len()).max().unwrap_or(0);
    let value_width = effective.iter().map(|setting| shown(&setting.value).len()).max().unwrap_or(0).min(60);
    for setting in effective {
        println!("{:<key_width$}  {:<value_width$}  {}", setting.key, shown(&setting.value), setting.origin);
        if options.verbose {
            println!("{:<key_width$}  {}\n", "", setting.help);
        }
    }
    Ok(())
}

fn shown(value: &str) -> &str {
    if value.is_empty() { "-" } else { value }
}
