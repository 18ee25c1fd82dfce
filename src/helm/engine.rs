//! Renders a set of templates as Helm does: all are parsed, then all files
//! but partials are executed against contexts that they share.
//!
//! Evaluation runs on a thread of its own with a large stack, under limits on
//! output, steps and memory, so that a hostile chart ends in an error.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;

use super::error::{Cause, ExecError, TemplateError};
use super::funcs::FnError;
use super::gotime::{self, Time};
use super::template::ast::{Pos, Source, Tree};
use super::template::exec::{self, Fault, Scope};
use super::template::stack::StackGuard;
use super::template::{self};
use super::value::{Map, MapType, Str, Value};

/// A template file and the context that it is rendered with.
#[derive(Debug, Clone)]
pub struct TemplateSource {
    /// The full name: `<chart>/templates/x.yaml`, with `charts/…` for
    /// sub-charts.
    pub name: String,
    /// The text.
    pub text: Arc<str>,
    /// The chart's context, shared by all templates of that chart.
    pub context: Map,
    /// What `.Template.BasePath` is: `<chart>/templates`.
    pub base_path: String,
}

/// What `lookup` asks of a cluster.
pub trait Lookup: Send + Sync {
    /// Reads an object, or the list of all when `name` is empty. An object
    /// that is not there is an empty map.
    ///
    /// # Errors
    /// The text becomes the template's error.
    fn lookup(
        &self,
        api_version: &str,
        kind: &str,
        namespace: &str,
        name: &str,
    ) -> Result<serde_json::Value, String>;
}

/// Bounds of one rendering.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of one output or string.
    pub output: usize,
    /// Bytes of all strings and lists that functions return, together.
    pub memory: usize,
    /// Nodes and calls evaluated.
    pub steps: u64,
    /// Bytes of stack for the evaluation.
    pub stack: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            output: 256 << 20,
            memory: 2 << 30,
            steps: 50_000_000,
            stack: 512 << 20,
        }
    }
}

type Clock = dyn Fn() -> Time + Send + Sync;
type Random = dyn Fn(&mut [u8]) + Send + Sync;

/// How templates are rendered.
#[derive(Default)]
pub struct Options {
    /// Bounds.
    pub limits: Limits,
    /// The cluster, if there is one. Without it `lookup` finds nothing.
    pub lookup: Option<Box<dyn Lookup>>,
    /// What `now` returns; the system's time when absent.
    pub clock: Option<Box<Clock>>,
    /// The zone that is local; the machine's when absent.
    pub zone: Option<TimeZone>,
    /// Fills a buffer with random bytes; the system's source when absent.
    pub random: Option<Box<Random>>,
    /// A missing key is an error.
    pub strict: bool,
    /// `required` and `fail` let go.
    pub lint: bool,
    /// Whether to record which template line produced each part of the output.
    pub source_map: bool,
}

/// Where a part of an output comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceMark {
    /// The byte offset at which the part starts.
    pub offset: usize,
    /// The template file.
    pub file: Arc<str>,
    /// The line, counted from 1.
    pub line: usize,
}

/// What a rendering produced.
#[derive(Debug, Clone, Default)]
pub struct Rendered {
    /// Outputs by template name; partials are not among them.
    pub files: BTreeMap<String, String>,
    /// With [`Options::source_map`]: where each output's parts come from.
    pub sources: BTreeMap<String, Vec<SourceMark>>,
}

/// The template engine.
pub struct Engine {
    options: Options,
}

impl Engine {
    /// An engine with these options.
    pub fn new(options: Options) -> Self {
        Self { options }
    }

    /// Renders the templates.
    ///
    /// # Errors
    /// The first error in Helm's order: deepest files first, then in reverse
    /// alphabetical order, all parsed before any is executed.
    pub fn render(
        &self,
        templates: &[TemplateSource],
    ) -> Result<BTreeMap<String, String>, TemplateError> {
        self.render_mapped(templates).map(|rendered| rendered.files)
    }

    /// Renders the templates and says where the output comes from.
    ///
    /// # Errors
    /// As [`Engine::render`].
    pub fn render_mapped(&self, templates: &[TemplateSource]) -> Result<Rendered, TemplateError> {
        std::thread::scope(|threads| {
            let thread = std::thread::Builder::new()
                .name("templates".to_owned())
                .stack_size(self.options.limits.stack)
                .spawn_scoped(threads, || self.render_here(templates))
                .map_err(|error| {
                    TemplateError::Engine(format!("cannot start the template engine: {error}"))
                })?;
            // The thread's end is quicker when it has no trees to free.
            match thread.join() {
                Ok(rendered) => rendered.map(|(rendered, _trees)| rendered),
                Err(_) => Err(TemplateError::Engine(
                    "the template engine failed".to_owned(),
                )),
            }
        })
    }

    fn render_here(
        &self,
        templates: &[TemplateSource],
    ) -> Result<(Rendered, Scope<'static>), TemplateError> {
        let mut order: Vec<&TemplateSource> = templates.iter().collect();
        order.sort_by_cached_key(|t| {
            std::cmp::Reverse((t.name.matches('/').count(), t.name.clone()))
        });
        let mut scope = Scope {
            parent: None,
            own: HashMap::new(),
        };
        for source in &order {
            let trees =
                template::parse(&source.name, &source.text).map_err(TemplateError::Parse)?;
            define(&mut scope, trees);
        }
        let mut run = Run::new(&self.options);
        let mut rendered = Rendered::default();
        for source in order {
            let base = source.name.rsplit('/').next().unwrap_or("");
            if base.starts_with('_') {
                continue;
            }
            let own = Map::typed(MapType::Values, BTreeMap::new());
            own.set("Name", source.name.as_str());
            own.set("BasePath", source.base_path.as_str());
            source.context.set("Template", own);
            let (text, marks) = run.file(&scope, source)?;
            if self.options.source_map {
                rendered.sources.insert(source.name.clone(), marks);
            }
            rendered.files.insert(source.name.clone(), text);
        }
        Ok((rendered, scope))
    }
}

/// Adds trees to a scope: a later one wins unless it is blank.
fn define(scope: &mut Scope<'_>, trees: Vec<Arc<Tree>>) {
    for tree in trees {
        if tree.is_empty() && scope.lookup(&tree.name).is_some() {
            continue;
        }
        scope.own.insert(tree.name.clone(), tree);
    }
}

/// The text that Helm removes from every output.
const NO_VALUE: &[u8] = b"<no value>";

/// Removes `<no value>`; the marks move along.
fn without_no_value(text: Vec<u8>, marks: &mut [RawMark]) -> Vec<u8> {
    let mut out: Option<Vec<u8>> = None;
    let mut kept = 0;
    let mut at = 0;
    let mut moved = 0;
    let mut marks = marks.iter_mut().peekable();
    while let Some(found) = text
        .get(at..)
        .and_then(|rest| rest.iter().position(|c| *c == b'<'))
    {
        at += found;
        if !text
            .get(at..)
            .is_some_and(|rest| rest.starts_with(NO_VALUE))
        {
            at += 1;
            continue;
        }
        while let Some(mark) = marks.next_if(|mark| mark.offset <= at) {
            mark.offset -= moved;
        }
        let out = out.get_or_insert_with(|| Vec::with_capacity(text.len()));
        out.extend_from_slice(text.get(kept..at).unwrap_or(&[]));
        at += NO_VALUE.len();
        moved += NO_VALUE.len();
        kept = at;
    }
    marks.for_each(|mark| mark.offset = mark.offset.saturating_sub(moved));
    match out {
        Some(mut out) => {
            out.extend_from_slice(text.get(kept..).unwrap_or(&[]));
            out
        }
        None => text,
    }
}

struct RawMark {
    offset: usize,
    source: Arc<Source>,
    pos: Pos,
}

/// One rendering in progress: what functions may use.
pub(crate) struct Run<'e> {
    pub(crate) options: &'e Options,
    pub(crate) stack: StackGuard,
    steps: u64,
    memory: usize,
    included: HashMap<Str, usize>,
    /// How many `include` and `tpl` calls are open.
    nesting: usize,
    parsed: HashMap<Str, Vec<Arc<Tree>>>,
    marks: Vec<RawMark>,
    /// Compiled expressions.
    pub(crate) regexes: HashMap<Str, regex::bytes::Regex>,
}

/// An include may nest this often by one name.
const MAX_INCLUDES: usize = 1000;

/// All `include` and `tpl` calls together may nest this deep. An error names
/// every level, so this bounds the error as well.
const MAX_NESTING: usize = 1100;

impl<'e> Run<'e> {
    fn new(options: &'e Options) -> Self {
        Self {
            options,
            stack: StackGuard::new(options.limits.stack),
            steps: 0,
            memory: 0,
            included: HashMap::new(),
            nesting: 0,
            parsed: HashMap::new(),
            marks: Vec::new(),
            regexes: HashMap::new(),
        }
    }

    fn file(
        &mut self,
        scope: &Scope<'_>,
        source: &TemplateSource,
    ) -> Result<(String, Vec<SourceMark>), TemplateError> {
        self.marks.clear();
        let Some(tree) = scope.lookup(&source.name) else {
            return Ok((String::new(), Vec::new()));
        };
        let mut out = Vec::new();
        let data = Value::Map(source.context.clone());
        exec::execute(self, scope, &tree, data, &mut out, true).map_err(|fault| match *fault {
            Fault::Exec(error) => TemplateError::Exec(error),
            Fault::Limit(text) => {
                TemplateError::Limit(format!("template: {}: {text}", source.name))
            }
        })?;
        let mut marks = std::mem::take(&mut self.marks);
        let out = without_no_value(out, &mut marks);
        let marks = marks
            .into_iter()
            .map(|mark| SourceMark {
                offset: mark.offset,
                file: mark.source.name.clone(),
                line: mark.source.line_column(mark.pos).0,
            })
            .collect();
        let text = String::from_utf8(out)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
        Ok((text, marks))
    }

    pub(crate) fn strict(&self) -> bool {
        self.options.strict
    }

    pub(crate) fn mark(&mut self, offset: usize, source: &Arc<Source>, pos: Pos) {
        if self.options.source_map {
            self.marks.push(RawMark {
                offset,
                source: source.clone(),
                pos,
            });
        }
    }

    pub(crate) fn step(&mut self) -> Result<(), Box<Fault>> {
        self.steps += 1;
        if self.steps > self.options.limits.steps {
            return Err(Box::new(Fault::Limit(format!(
                "rendering takes more than {} steps",
                self.options.limits.steps
            ))));
        }
        Ok(())
    }

    pub(crate) fn check_output(&self, len: usize) -> Result<(), Box<Fault>> {
        if len > self.options.limits.output {
            return Err(Box::new(Fault::Limit(format!(
                "output is larger than {} bytes",
                self.options.limits.output
            ))));
        }
        Ok(())
    }

    /// Counts what a function returned.
    pub(crate) fn charge(&mut self, value: &Value) -> Result<(), Box<Fault>> {
        let bytes = match value {
            Value::Str(s) | Value::Bytes(s) => s.len(),
            Value::List(list) => std::mem::size_of_val(list.items()),
            Value::Map(_) => 64,
            _ => 0,
        };
        self.spend(bytes)
            .map_err(|error| Box::new(Fault::Limit(error)))
    }

    fn spend(&mut self, bytes: usize) -> Result<(), String> {
        self.memory = self.memory.saturating_add(bytes);
        if self.memory > self.options.limits.memory {
            return Err(format!(
                "rendering takes more than {} bytes of memory",
                self.options.limits.memory
            ));
        }
        Ok(())
    }

    /// Refuses a string or list of that size before it is made.
    pub(crate) fn afford(&mut self, bytes: usize) -> Result<(), FnError> {
        if bytes > self.options.limits.output {
            return Err(FnError::Limit(format!(
                "a value is larger than {} bytes",
                self.options.limits.output
            )));
        }
        Ok(())
    }

    /// What `n` more work items cost, for functions that loop.
    pub(crate) fn work(&mut self, n: usize) -> Result<(), FnError> {
        self.steps = self.steps.saturating_add(n as u64);
        if self.steps > self.options.limits.steps {
            return Err(FnError::Limit(format!(
                "rendering takes more than {} steps",
                self.options.limits.steps
            )));
        }
        Ok(())
    }

    pub(crate) fn include(
        &mut self,
        scope: &Scope<'_>,
        name: &Str,
        data: Value,
    ) -> Result<Vec<u8>, FnError> {
        let count = self.included.entry(name.clone()).or_insert(0);
        if *count > MAX_INCLUDES {
            return Err(FnError::text(format!(
                "rendering template has a nested reference name: {}: unable to execute template",
                String::from_utf8_lossy(name)
            )));
        }
        *count += 1;
        let result = self.include_inner(scope, name, data);
        if let Some(count) = self.included.get_mut(name) {
            *count -= 1;
        }
        result
    }

    fn include_inner(
        &mut self,
        scope: &Scope<'_>,
        name: &Str,
        data: Value,
    ) -> Result<Vec<u8>, FnError> {
        let text = String::from_utf8_lossy(name);
        let Some(tree) = scope.lookup(&text) else {
            let quoted = super::gofmt::quote(name);
            return Err(FnError::Cause(Cause::NoTemplate(format!(
                "template: no template {} associated with template \"gotpl\"",
                String::from_utf8_lossy(&quoted)
            ))));
        };
        self.nested(scope, &tree, data)
    }

    fn nested(&mut self, scope: &Scope<'_>, tree: &Tree, data: Value) -> Result<Vec<u8>, FnError> {
        if self.nesting >= MAX_NESTING || !self.stack.has_room() {
            return Err(FnError::text("exceeded maximum template depth"));
        }
        let mut out = Vec::new();
        self.nesting += 1;
        let result = exec::execute(self, scope, tree, data, &mut out, false);
        self.nesting -= 1;
        match result {
            Ok(()) => Ok(out),
            Err(fault) => Err(match *fault {
                Fault::Exec(error) => FnError::Cause(Cause::Exec(*error)),
                Fault::Limit(text) => FnError::Limit(text),
            }),
        }
    }

    pub(crate) fn tpl(
        &mut self,
        scope: &Scope<'_>,
        text: &Str,
        data: Value,
    ) -> Result<Vec<u8>, FnError> {
        let quoted = || String::from_utf8_lossy(&super::gofmt::quote(text)).into_owned();
        let trees = if let Some(trees) = self.parsed.get(text) {
            trees.clone()
        } else {
            let trees = template::parse("gotpl", &String::from_utf8_lossy(text).into())
                .map_err(|e| FnError::text(format!("cannot parse template {}: {e}", quoted())))?;
            self.parsed.insert(text.clone(), trees.clone());
            trees
        };
        let main = trees.iter().find(|tree| &*tree.name == "gotpl").cloned();
        let mut inner = Scope {
            parent: Some(scope),
            own: HashMap::new(),
        };
        define(&mut inner, trees);
        let Some(main) = main else {
            return Ok(Vec::new());
        };
        match self.nested(&inner, &main, data) {
            Ok(out) => Ok(without_no_value(out, &mut [])),
            Err(FnError::Cause(cause)) => Err(FnError::Cause(Cause::Tpl(
                format!("error during tpl function execution for {}: ", quoted()),
                Box::new(cause),
            ))),
            Err(limit) => Err(limit),
        }
    }

    /// The time that `now` returns.
    pub(crate) fn now(&self) -> Time {
        match &self.options.clock {
            Some(clock) => clock(),
            None => system_now().in_tz(&self.zone()),
        }
    }

    /// The zone that is local.
    pub(crate) fn zone(&self) -> TimeZone {
        self.options.zone.clone().unwrap_or_else(gotime::local_zone)
    }

    /// Fills a buffer with random bytes.
    pub(crate) fn random(&self, buffer: &mut [u8]) {
        if let Some(random) = &self.options.random {
            random(buffer);
        } else {
            use ring::rand::SecureRandom as _;
            // A failure leaves zeros, which only a broken system meets.
            let _ = ring::rand::SystemRandom::new().fill(buffer);
        }
    }
}

fn system_now() -> Time {
    let now = crate::clock::Clock::default().now();
    let since = Duration::new(
        u64::try_from(now.as_second()).unwrap_or(0),
        u32::try_from(now.subsec_nanosecond()).unwrap_or(0),
    );
    Time::utc(
        i64::try_from(since.as_secs()).unwrap_or(0),
        since.subsec_nanos(),
    )
}

impl From<ExecError> for TemplateError {
    fn from(error: ExecError) -> Self {
        Self::Exec(Box::new(error))
    }
}

#[cfg(test)]
mod tests;
