//! Progress while a run works: live lines on a terminal, plain lines off it,
//! JSON lines for programs. Three siblings over the same events.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{Progress, Style, Ui};
use crate::clock::{Clock, human};
use crate::engine::{Event, Sink, StepEnd};
use crate::names::StepId;
use crate::plan::Action;

/// Off a terminal a step's progress is told at most this often, in the
/// reader's time.
const PLAIN_EVERY: Duration = Duration::from_secs(5);
/// Room for a step's title.
const TITLE: usize = 42;

/// Shows the events of a run.
pub struct Reporter {
    shared: Arc<Shared>,
    ticker: Option<tokio::task::JoinHandle<()>>,
}

struct Shared {
    ui: Ui,
    clock: Clock,
    wall: Clock,
    multi: MultiProgress,
    running: Mutex<BTreeMap<StepId, Running>>,
}

struct Running {
    title: String,
    since: Duration,
    message: String,
    percent: Option<u8>,
    told: Duration,
    bar: Option<ProgressBar>,
}

impl Reporter {
    /// A reporter in the form that the printer is set to. The clock is the
    /// run's: elapsed times are told in its seconds.
    pub fn new(ui: &Ui, clock: &Clock) -> Self {
        let target = match ui.options().progress {
            Progress::Live => ProgressDrawTarget::stderr_with_hz(12),
            _ => ProgressDrawTarget::hidden(),
        };
        let shared = Arc::new(Shared {
            ui: ui.clone(),
            clock: clock.clone(),
            wall: Clock::default(),
            multi: MultiProgress::with_draw_target(target),
            running: Mutex::default(),
        });
        let ticker =
            (ui.options().progress == Progress::Live).then(|| tokio::spawn(tick(shared.clone())));
        Self { shared, ticker }
    }

    /// Where the engine sends its events.
    pub fn sink(&self) -> Sink {
        let shared = self.shared.clone();
        Arc::new(move |event| shared.show(&event))
    }

    /// Prints a line above the live ones.
    pub fn say(&self, text: &str) {
        self.shared.line(text);
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        if let Some(ticker) = self.ticker.take() {
            ticker.abort();
        }
        let _ = self.shared.multi.clear();
    }
}

/// Keeps the elapsed times of the live lines moving.
async fn tick(shared: Arc<Shared>) {
    let pause = Clock::default();
    while pause.sleep(Duration::from_millis(100)).await.is_ok() {
        let now = shared.clock.elapsed();
        for running in shared.running().values() {
            running.draw(now);
        }
    }
}

impl Shared {
    fn running(&self) -> std::sync::MutexGuard<'_, BTreeMap<StepId, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn show(&self, event: &Event) {
        match self.ui.options().progress {
            Progress::Off => {}
            Progress::Json => self.json(event),
            Progress::Live | Progress::Plain => self.text(event),
        }
    }

    fn json(&self, event: &Event) {
        if !matches!(event, Event::Inspecting { .. })
            && let Ok(line) = serde_json::to_string(event)
        {
            // A reader that went away does not stop the run.
            let _ = self.ui.data(&line);
        }
    }

    fn text(&self, event: &Event) {
        let now = self.clock.elapsed();
        match event {
            Event::Inspecting { .. } => {}
            Event::Started { step, title, .. } => {
                let bar = (self.ui.options().progress == Progress::Live).then(|| self.bar());
                let running = Running {
                    title: title.clone(),
                    since: now,
                    message: String::new(),
                    percent: None,
                    told: self.wall.elapsed(),
                    bar,
                };
                running.draw(now);
                self.running().insert(step.clone(), running);
            }
            Event::Progress {
                step,
                message,
                percent,
            } => self.progress(step, message, *percent, now),
            Event::Ended {
                step,
                title,
                end,
                took,
            } => {
                if let Some(bar) = self.running().remove(step).and_then(|r| r.bar) {
                    bar.finish_and_clear();
                    self.multi.remove(&bar);
                }
                // What turned out to be as it should be is no news.
                if *end
                    != (StepEnd::Done {
                        action: Action::None,
                    })
                {
                    self.line(&self.ended(title, end, *took));
                }
            }
        }
    }

    fn progress(&self, step: &StepId, message: &str, percent: Option<u8>, now: Duration) {
        let mut all = self.running();
        let Some(running) = all.get_mut(step) else {
            return;
        };
        let changed = running.message != message;
        running.message = self.ui.redact(message).into_owned();
        running.percent = percent;
        if running.bar.is_some() {
            running.draw(now);
        } else if changed && self.wall.elapsed().saturating_sub(running.told) >= PLAIN_EVERY {
            running.told = self.wall.elapsed();
            let line = format!("  {}  {}", running.left(now), running.message);
            drop(all);
            self.line(&line);
        }
    }

    fn ended(&self, title: &str, end: &StepEnd, took: Duration) -> String {
        let paint = self.ui.paint_stderr();
        let took = human(took);
        let title = cut(title, TITLE);
        match end {
            StepEnd::Done { action } => {
                let word = paint.apply(Style::Good, &format!("{:<9}", action.done()));
                format!("  {word}  {title:<TITLE$}  {took:>7}")
            }
            StepEnd::Failed(failure) => {
                let word = paint.apply(Style::Bad, "failed   ");
                format!(
                    "  {word}  {title:<TITLE$}  {took:>7}\n             {}",
                    failure.message
                )
            }
            StepEnd::Interrupted => {
                format!(
                    "  {}  {title:<TITLE$}  {took:>7}",
                    paint.apply(Style::Warning, "stopped  ")
                )
            }
            StepEnd::Blocked { by } => {
                format!(
                    "  {}  {title}: waits for {by}",
                    paint.apply(Style::Dim, "blocked  ")
                )
            }
            StepEnd::NotStarted => {
                format!("  {}  {title}", paint.apply(Style::Dim, "not begun"))
            }
        }
    }

    fn line(&self, text: &str) {
        if self.ui.options().progress == Progress::Live {
            let text = self.ui.redact(text);
            // Nothing else may write to the terminal while lines are live.
            let _ = self.multi.println(text);
        } else {
            self.ui.say(text);
        }
    }

    fn bar(&self) -> ProgressBar {
        let style = ProgressStyle::with_template("  {spinner} {prefix}  {wide_msg}")
            .unwrap_or_else(|_| ProgressStyle::default_spinner());
        let bar = self.multi.add(ProgressBar::new_spinner().with_style(style));
        bar.enable_steady_tick(Duration::from_millis(120));
        bar
    }
}

impl Running {
    fn left(&self, now: Duration) -> String {
        let elapsed = human(now.saturating_sub(self.since));
        let percent = self
            .percent
            .map(|p| format!(" {p:>3}%"))
            .unwrap_or_default();
        format!("{:<30} {elapsed:>6}{percent}", cut(&self.title, 30))
    }

    fn draw(&self, now: Duration) {
        if let Some(bar) = &self.bar {
            bar.set_prefix(self.left(now));
            bar.set_message(self.message.clone());
        }
    }
}

/// A text of at most `width` characters.
fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    format!("{kept}…")
}
