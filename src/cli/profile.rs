//! `todoctl profile` and `todoctl schema`.

use super::args::ProfileArgs;
use super::error::Result;
use super::exit::Exit;
use super::session;
use super::settings::Settings;
use crate::profile;
use crate::ui::table;

/// Shows the effective profile.
pub(super) fn run(settings: &Settings, args: &ProfileArgs) -> Result {
    let loaded = session::load(settings)?;
    for warning in &loaded.warnings {
        settings.ui.warn(&warning.to_string());
    }
    if args.explain {
        let values = loaded.explain();
        settings.ui.document(&values, || {
            let rows: Vec<_> = values
                .iter()
                .map(|value| vec![value.path.clone(), value.value.clone(), value.from.clone()])
                .collect();
            table(&["path", "value", "from"], &rows, 120)
        })?;
    } else {
        let text = || crate::yaml::to_string(&loaded.profile).unwrap_or_default();
        settings.ui.document(&loaded.profile, text)?;
    }
    Ok(Exit::Done)
}

/// Prints the JSON Schema of profiles.
pub(super) fn schema(settings: &Settings) -> Result {
    let schema = profile::schema::schema();
    let text = || serde_json::to_string_pretty(&schema).unwrap_or_default();
    settings.ui.document(&schema, text)?;
    Ok(Exit::Done)
}
