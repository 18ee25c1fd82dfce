//! Progress while a run works: live lines on a terminal, plain lines off it,
//! JSON lines for programs. Three siblings over the same events.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::table::paragraph;
use super::{Progress, Style, Ui};
use crate::clock::{Clock, human};
use crate::engine::{Event, Sink, StepEnd};
use crate::names::StepId;
use crate::plan::Action;

/// Off a terminal a step's progress is told at most this often, in the
/// reader's time. A wait looks every two seconds: with this, what the cluster
/// knows is told within five.
const PLAIN_EVERY: Duration = Duration::from_secs(2);
/// Between two looks at what is to be drawn or told.
const TICK: Duration = Duration::from_millis(100);
/// Room for a step's title.
const TITLE: usize = 42;
/// The most lines of a live message below its step's.
const MESSAGE_LINES: usize = 4;
/// How far they are indented.
const MESSAGE_INDENT: usize = 6;
/// What stands around a live step's title and message.
const MARGIN: usize = 7;

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
    /// When something was told last, off a terminal.
    told: Duration,
    /// Whether the message has not been told yet, off a terminal.
    is_news: bool,
    bar: Option<ProgressBar>,
}

/// What a live step may take of the terminal.
#[derive(Debug, Clone, Copy)]
struct Room {
    width: usize,
    /// Lines below its own.
    below: usize,
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
        let ticks = matches!(ui.options().progress, Progress::Live | Progress::Plain);
        let ticker = ticks.then(|| tokio::spawn(tick(shared.clone())));
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

/// Keeps the elapsed times of the live lines moving, and off a terminal tells
/// what had to wait for its turn.
async fn tick(shared: Arc<Shared>) {
    let pause = Clock::default();
    while pause.sleep(TICK).await.is_ok() {
        shared.draw();
        shared.tell();
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
                    is_news: false,
                    bar,
                };
                self.running().insert(step.clone(), running);
                self.draw();
            }
            Event::Progress {
                step,
                message,
                percent,
            } => self.progress(step, message, *percent),
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

    fn progress(&self, step: &StepId, message: &str, percent: Option<u8>) {
        if let Some(running) = self.running().get_mut(step) {
            running.hear(self.ui.redact(message).into_owned());
            running.percent = percent;
        }
        self.draw();
        self.tell();
    }

    /// Draws the live lines.
    fn draw(&self) {
        if self.ui.options().progress != Progress::Live {
            return;
        }
        let now = self.clock.elapsed();
        let (rows, columns) = console::Term::stderr().size();
        let all = self.running();
        let each = usize::from(rows.saturating_sub(1)) / all.len().max(1);
        let room = Room {
            width: usize::from(columns),
            below: each.saturating_sub(1).min(MESSAGE_LINES),
        };
        for running in all.values() {
            running.draw(now, room);
        }
    }

    /// Off a terminal: tells the news whose turn it is.
    fn tell(&self) {
        if self.ui.options().progress != Progress::Plain {
            return;
        }
        let (now, wall) = (self.clock.elapsed(), self.wall.elapsed());
        let mut all = self.running();
        for running in all.values_mut() {
            if running.is_due(wall) {
                self.line(&format!("  {}  {}", running.left(now), running.message));
            }
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
        let style = ProgressStyle::with_template("  {spinner} {prefix}  {msg}")
            .unwrap_or_else(|_| ProgressStyle::default_spinner());
        let bar = self.multi.add(ProgressBar::new_spinner().with_style(style));
        bar.enable_steady_tick(Duration::from_millis(120));
        bar
    }
}

impl Running {
    fn hear(&mut self, message: String) {
        self.is_news |= self.message != message;
        self.message = message;
    }

    /// Whether there is news and its turn has come, off a terminal. Then it
    /// counts as told.
    fn is_due(&mut self, wall: Duration) -> bool {
        let is_due = self.is_news && wall.saturating_sub(self.told) >= PLAIN_EVERY;
        if is_due {
            self.is_news = false;
            self.told = wall;
        }
        is_due
    }

    fn left(&self, now: Duration) -> String {
        let elapsed = human(now.saturating_sub(self.since));
        let percent = self
            .percent
            .map(|p| format!(" {p:>3}%"))
            .unwrap_or_default();
        format!("{:<30} {elapsed:>6}{percent}", cut(&self.title, 30))
    }

    fn draw(&self, now: Duration, room: Room) {
        if let Some(bar) = &self.bar {
            let left = self.left(now);
            bar.set_message(placed(&self.message, left.chars().count(), room));
            bar.set_prefix(left);
        }
    }
}

/// A message beside what its line begins with, or below where it is too long
/// for that.
fn placed(message: &str, taken: usize, room: Room) -> String {
    let beside = room.width.saturating_sub(taken + MARGIN);
    if message.chars().count() <= beside || room.below == 0 {
        return cut(message, beside);
    }
    let text = paragraph(message, MESSAGE_INDENT, room.width.saturating_sub(1));
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    if lines.len() > room.below {
        lines.truncate(room.below);
        if let Some(last) = lines.last_mut() {
            *last = cut(&format!("{last} …"), room.width.saturating_sub(1));
        }
    }
    format!("\n{}", lines.join("\n"))
}

/// A text of at most `width` characters.
fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    format!("{kept}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_that_come_too_soon_are_told_when_it_is_their_turn() {
        let mut running = Running {
            title: String::new(),
            since: Duration::ZERO,
            message: String::new(),
            percent: None,
            told: Duration::ZERO,
            is_news: false,
            bar: None,
        };
        let at = Duration::from_millis;
        running.hear("starting".to_owned());
        running.hear("it ended".to_owned());
        assert!(!running.is_due(at(1999)));
        assert!(running.is_due(at(2000)) && running.message == "it ended");
        assert!(!running.is_due(at(9000)));
        running.hear("it ended".to_owned());
        assert!(!running.is_due(at(9000)));
        running.hear("it runs again".to_owned());
        assert!(running.is_due(at(9000)));
    }

    #[test]
    fn a_message_stands_beside_its_step_or_below_in_lines_that_fit() {
        let room = |width, below| Room { width, below };
        assert_eq!(placed("short", 20, room(40, 4)), "short");
        let cause = "it ended with exit code 1";
        assert_eq!(placed(cause, 20, room(80, 4)), cause);
        assert_eq!(placed(cause, 20, room(40, 0)), "it ended wit…");
        assert_eq!(
            placed(cause, 20, room(24, 4)),
            "\n      it ended with\n      exit code 1"
        );
        assert_eq!(placed(cause, 20, room(24, 1)), "\n      it ended with …");
    }
}
