//! `todoctl render` and `todoctl why`.

use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::args::WhyArgs;
use super::error::{CliError, Result};
use super::exit::Exit;
use super::render::{self, DryRun, Output, RenderArgs, RenderCx};
use super::session::{self, Purpose};
use super::settings::Settings;
use crate::clock::Clock;
use crate::files::{self, Access};
use crate::helm::render::PrintOptions;
use crate::helm::why::{Answer, Dependence, Place, Question, Setter};
use crate::manifest::Manifest;
use crate::release::Offline;
use crate::steps::{self, RenderedRelease};
use crate::ui::{Format, Paint, Style};

/// Prints a chart's manifests, or those of the profile.
pub(super) async fn render(
    settings: &Settings,
    mut args: RenderArgs,
    cancel: CancellationToken,
) -> Result {
    if args.chart.is_none() {
        return profile(settings, &args, cancel).await;
    }
    args.values.set.clone_from(&settings.sets);
    let cx = context(settings, &args, cancel).await?;
    let output = render::run(&args, &cx)
        .await
        .map_err(|error| CliError::failed("cannot render the chart").caused_by(&error))?;
    match output {
        Output::Text(text) => settings.ui.data(&text)?,
        Output::Files(paths) => {
            for path in paths {
                settings.ui.say(&format!("wrote {}", path.display()));
            }
        }
    }
    Ok(Exit::Done)
}

/// What a chart is rendered with: the profile's cluster, when templates may
/// ask it.
async fn context(
    settings: &Settings,
    args: &RenderArgs,
    cancel: CancellationToken,
) -> Result<RenderCx> {
    let mut cx = RenderCx {
        clock: Clock::new(1.0, cancel.clone()),
        ..RenderCx::default()
    };
    if args.dry_run == DryRun::Server {
        cx.cluster = Some(session::cluster(settings, cancel).await?);
    }
    Ok(cx)
}

/// Everything that `up` applies, without a look at the cluster: the objects
/// that are of no release, then every release as `helm template` prints it.
/// Secret values are not looked up and not printed.
async fn profile(settings: &Settings, args: &RenderArgs, cancel: CancellationToken) -> Result {
    if let Some(option) = chart_only(args) {
        return Err(CliError::usage(format!("{option} is for a single chart"))
            .hint("name one with --chart, or leave the option out"));
    }
    let loaded = session::load(settings)?;
    let mut profile = session::resolve(settings, &loaded, Purpose::TearDown)?;
    let stand_ins = super::sandbox::stand_ins(&mut profile)?;
    let (manifests, warnings) = steps::manifests(&profile).map_err(session::unfit)?;
    for warning in warnings {
        settings.ui.stderr(&warning.to_string());
    }
    let cluster = Offline {
        kube_version: args.kube_version.clone(),
        api_versions: args.api_versions.clone(),
    };
    let releases = steps::releases(&profile, &Clock::new(1.0, cancel), &cluster)
        .await
        .map_err(|error| CliError::from(error).about("cannot render the profile"))?;
    drop(stand_ins);
    let print = args.print();
    match &args.output_dir {
        Some(folder) => {
            write_manifests(settings, &manifests, folder)?;
            for release in &releases {
                // Two releases may be of one chart.
                let files = release.content.output_files(&print);
                let written = render::write(&files, &folder.join(&release.name));
                for path in written.map_err(failed)? {
                    settings.ui.say(&format!("wrote {}", path.display()));
                }
            }
        }
        None if settings.ui.options().format == Format::Json => {
            let mut bodies: Vec<_> = manifests.iter().map(shown).collect();
            for release in &releases {
                bodies.extend(objects(release, &print)?);
            }
            settings.ui.document(&bodies, String::new)?;
        }
        None => {
            let bodies: Vec<_> = manifests.iter().map(shown).collect();
            let text = crate::yaml::documents_to_string(&bodies);
            settings.ui.data(&text.map_err(unprintable)?)?;
            for release in &releases {
                let text = release.content.text(&print);
                settings.ui.data(&text.map_err(unprintable)?)?;
            }
        }
    }
    Ok(Exit::Done)
}

fn unprintable(error: impl std::error::Error) -> CliError {
    CliError::failed("cannot print the manifests").caused_by(&error)
}

fn failed(error: impl std::error::Error) -> CliError {
    CliError::failed("cannot render the profile").caused_by(&error)
}

/// An option that is given and means nothing without a chart.
fn chart_only(args: &RenderArgs) -> Option<&'static str> {
    let values = &args.values;
    [
        (!values.files.is_empty(), "--values"),
        (!values.set_string.is_empty(), "--set-string"),
        (!values.set_json.is_empty(), "--set-json"),
        (!values.set_file.is_empty(), "--set-file"),
        (!values.set_literal.is_empty(), "--set-literal"),
        (!args.show_only.is_empty(), "--show-only"),
        (!args.version.is_empty(), "--version"),
        (args.digest.is_some(), "--digest"),
        (args.repo.is_some(), "--repo"),
        (args.is_upgrade, "--is-upgrade"),
        (args.dry_run == DryRun::Server, "--dry-run=server"),
    ]
    .into_iter()
    .find_map(|(given, option)| given.then_some(option))
}

fn write_manifests(settings: &Settings, manifests: &[Manifest], folder: &Path) -> Result<()> {
    for manifest in manifests {
        let name = format!(
            "{}-{}.yaml",
            manifest.kind().to_lowercase(),
            manifest.name()
        );
        let text = crate::yaml::to_string(&shown(manifest)).map_err(unprintable)?;
        let path = folder.join(name);
        files::write_atomic(&path, text.as_bytes(), Access::Shared).map_err(|error| {
            CliError::failed(format!("cannot write {}", path.display())).caused_by(&error)
        })?;
        settings.ui.say(&format!("wrote {}", path.display()));
    }
    Ok(())
}

/// The objects of a release, in the order of the text.
fn objects(release: &RenderedRelease, print: &PrintOptions) -> Result<Vec<Value>> {
    let text = release.content.text(print).map_err(unprintable)?;
    let objects = crate::release::objects(&text, &release.name).map_err(unprintable)?;
    Ok(objects.iter().map(Manifest::printable).collect())
}

/// A manifest without what must not be printed.
fn shown(manifest: &Manifest) -> Value {
    let mut body = manifest.printable();
    if manifest.kind() == "Secret"
        && let Some(data) = body.get_mut("data").and_then(Value::as_object_mut)
    {
        // The values were not looked up, so that their fingerprints say nothing.
        for value in data.values_mut() {
            *value = Value::from(crate::secret::REDACTED);
        }
    }
    body
}

#[derive(Serialize)]
struct FieldDocument {
    field: String,
    value: String,
    template: Option<String>,
    depends: Vec<String>,
    random: bool,
}

/// Says where the fields of an object come from.
pub(super) async fn why(
    settings: &Settings,
    mut args: WhyArgs,
    cancel: CancellationToken,
) -> Result {
    args.render.values.set.clone_from(&settings.sets);
    let Some((kind, name)) = args.object.split_once('/') else {
        return Err(
            CliError::usage(format!("`{}` is not KIND/NAME", args.object))
                .hint("for instance Deployment/backend"),
        );
    };
    if args.render.chart.is_none() {
        return Err(CliError::usage("no chart is named").hint("name one with --chart"));
    }
    let question = Question {
        kind: kind.to_owned(),
        name: name.to_owned(),
        field: args.field.clone(),
    };
    if args.render.dry_run == DryRun::Server {
        return Err(CliError::usage("`why` renders on this machine alone")
            .hint("leave --dry-run=server out"));
    }
    let cx = context(settings, &args.render, cancel).await?;
    let answer = render::why(&args.render, &cx, &question)
        .await
        .map_err(|error| CliError::failed("cannot tell").caused_by(&error))?;
    let document: Vec<_> = answer
        .fields
        .iter()
        .map(|field| FieldDocument {
            field: field.field.clone(),
            value: field.value.clone(),
            template: field.template.as_ref().map(place),
            depends: field.depends_on.iter().map(dependence).collect(),
            random: field.random,
        })
        .collect();
    settings
        .ui
        .document(&document, || why_text(&answer, settings.ui.paint()))?;
    Ok(Exit::Done)
}

fn why_text(answer: &Answer, paint: Paint) -> String {
    let mut text = String::new();
    for field in &answer.fields {
        let name = paint.apply(Style::Strong, &field.field);
        let random = if field.random {
            "  (differs each time)"
        } else {
            ""
        };
        let _ = writeln!(text, "{name}: {}{random}", field.value);
        if let Some(template) = &field.template {
            let _ = writeln!(text, "    template  {}", place(template));
        }
        for depends in &field.depends_on {
            let _ = writeln!(text, "    {}", dependence(depends));
        }
    }
    if !answer.conditions.is_empty() {
        let _ = writeln!(text, "The object is there because of");
        for depends in &answer.conditions {
            let _ = writeln!(text, "    {}", dependence(depends));
        }
    }
    text
}

fn place(place: &Place) -> String {
    format!("{}:{}", place.file, place.line)
}

fn dependence(depends: &Dependence) -> String {
    let verb = if depends.shown {
        "shows   "
    } else {
        "looks at"
    };
    let setter = match &depends.setter {
        None => String::new(),
        Some(Setter::File { path, line }) => format!(" from {}:{line}", path.display()),
        Some(Setter::Argument { option, text }) => format!(" from {option} {text}"),
        Some(Setter::Default(at)) => format!(" from {}", place(at)),
        Some(Setter::Document) => " from the profile".to_owned(),
        Some(Setter::Unknown) => " from an import or from nowhere".to_owned(),
    };
    format!("{verb}  {}{setter}", depends.name)
}
