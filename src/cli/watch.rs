//! `causeway watch`: the status as it changes, on one 80×24 screen. It starts and stays when the daemon does not answer:
//! that is when people look. What it shows is made by [`Screen`], which knows neither terminal nor socket.

use std::collections::{BTreeMap, VecDeque};
use std::io::IsTerminal;
use std::path::Path;
use std::time::Duration;

use ratatui::Frame;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Wrap};

use super::ask;
use super::exit::{Exit, Failure, print};
use super::render::{self, Paint, View, paint_of};
use crate::control::io::Client;
use crate::control::protocol::{Reply, Request};
use crate::control::status::Status;
use crate::telemetry::events::EventLine;
use crate::telemetry::words;

/// Often enough to see a failover happen, seldom enough for a slow console.
const EVERY: Duration = Duration::from_millis(500);
/// Points of the little curve.
const HISTORY: usize = 16;
const EVENTS_SINCE_MS: u64 = 3_600_000;
const HELP: &str = "q  quit\n?  this help\nw  why it is so\ne  the events of the last hour\n\nany other key: back";

pub(super) fn run(socket: &Path, plain: bool, view: &View) -> Result<(), Failure> {
    if plain || !std::io::stdout().is_terminal() {
        let status = ask::fetch(&mut Client::connect(socket)?)?;
        print(&render::status::headline(&status, view))?;
        return ask::events(socket, Some(Duration::ZERO), true, false, view);
    }
    // The screen paints itself.
    let mut screen = Screen::new(View { color: false, ..view.clone() });
    let mut terminal = ratatui::try_init().map_err(|error| Failure::new(Exit::Failed, error))?;
    let ended = watch(socket, &mut screen, &mut terminal);
    ratatui::restore();
    ended.map_err(|error| Failure::new(Exit::Failed, error))
}

fn watch(socket: &Path, screen: &mut Screen, terminal: &mut ratatui::DefaultTerminal) -> std::io::Result<()> {
    let mut client = None;
    loop {
        screen.update(look(socket, &mut client));
        // ratatui writes only the cells that changed.
        terminal.draw(|frame| screen.draw(frame))?;
        if event::poll(EVERY)?
            && let Event::Key(key) = event::read()?
            && key.kind != KeyEventKind::Release
            && !screen.key(key)
        {
            return Ok(());
        }
    }
}

/// A lost connection is made again the next time.
fn look(socket: &Path, kept: &mut Option<Client>) -> Result<(Status, Vec<EventLine>), String> {
    let told = |failure: Failure| failure.text().lines().next().unwrap_or_default().to_owned();
    let mut client = match kept.take() {
        Some(client) => client,
        None => Client::connect(socket).map_err(|error| told(error.into()))?,
    };
    let status = ask::fetch(&mut client).map_err(told)?;
    let request = Request::Events { since_ms: Some(EVENTS_SINCE_MS), follow: false };
    let events = match client.call(&request) {
        Ok(Reply::Events(events)) => events,
        Ok(_) | Err(_) => Vec::new(),
    };
    *kept = Some(client);
    Ok((status, events))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    Lines,
    Help,
    Why,
    Events,
}

/// What is on the screen.
struct Screen {
    view: View,
    over: Over,
    status: Result<Status, String>,
    events: Vec<EventLine>,
    /// p95 RTT of each line over time; `None`: down.
    curves: BTreeMap<String, VecDeque<Option<f32>>>,
}

impl Screen {
    fn new(view: View) -> Self {
        Self {
            view,
            over: Over::Lines,
            status: Err("asking the daemon".to_owned()),
            events: Vec::new(),
            curves: BTreeMap::new(),
        }
    }

    fn update(&mut self, seen: Result<(Status, Vec<EventLine>), String>) {
        let (status, events) = match seen {
            Ok(seen) => seen,
            Err(error) => {
                self.status = Err(error);
                return;
            }
        };
        for uplink in &status.uplinks {
            let curve = self.curves.entry(uplink.name.clone()).or_default();
            if curve.len() == HISTORY {
                curve.pop_front();
            }
            curve.push_back(uplink.line().and_then(|line| line.rtt_p95_ms));
        }
        self.status = Ok(status);
        self.events = events;
    }

    /// `false`: the end.
    fn key(&mut self, key: KeyEvent) -> bool {
        if key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c') {
            return false;
        }
        self.over = if key.code == KeyCode::Char('q') {
            return false;
        } else if key.code == KeyCode::Char('?') {
            Over::Help
        } else if key.code == KeyCode::Char('w') {
            Over::Why
        } else if key.code == KeyCode::Char('e') {
            Over::Events
        } else {
            Over::Lines
        };
        true
    }

    fn draw(&self, frame: &mut Frame<'_>) {
        let [body, foot] = Layout::vertical([Constraint::Min(1), Constraint::Length(1)]).areas(frame.area());
        let height = usize::from(body.height);
        let text = match (&self.status, self.over) {
            (_, Over::Help) => HELP.lines().map(|line| Line::raw(line.to_owned())).collect(),
            (Err(error), _) => vec![
                Line::styled("The daemon does not answer.", style(Paint::Bad)),
                Line::raw(render::printable(error)),
                Line::raw("Forwarding goes on without it. This screen asks again twice a second."),
            ],
            (Ok(status), Over::Why) => plain(&render::why::all(status, &self.view)),
            (Ok(_), Over::Events) => self.last_events(height),
            (Ok(status), Over::Lines) => self.lines(status, height),
        };
        let text = Paragraph::new(text);
        // Prose is wrapped; a table is cut, so that its rows stay where they are.
        let text = if self.over == Over::Lines { text } else { text.wrap(Wrap { trim: false }) };
        frame.render_widget(text, body);
        frame.render_widget(Paragraph::new("q quit  ? help  w why  e events").style(style(Paint::Bold)), foot);
    }

    fn lines(&self, status: &Status, height: usize) -> Vec<Line<'static>> {
        let mut text = plain(&render::status::headline(status, &self.view));
        let width = status.uplinks.iter().map(|uplink| uplink.name.len()).max().unwrap_or(0);
        for uplink in &status.uplinks {
            let Some(line) = uplink.line() else { continue };
            let carries = uplink.families.iter().any(|line| !line.carries.is_empty());
            let loss = line.loss.map_or_else(|| "–".to_owned(), words::percent);
            let rtt = line.rtt_p95_ms.map_or_else(|| "–".to_owned(), words::millis);
            let curve = self.curves.get(&uplink.name).map(curve).unwrap_or_default();
            let seen = if line.evidence.verdict.is_some() { words::evidence(&line.evidence) } else { String::new() };
            text.push(Line::from(vec![
                Span::raw(format!("{} {:<width$}  ", if carries { ">" } else { " " }, uplink.name)),
                Span::styled(format!("{:<9}", line.state.name()), style(paint_of(line.state))),
                Span::raw(format!("  {curve:<HISTORY$}  {loss:>4}  {rtt:>7}  {seen}")),
            ]));
        }
        text.push(Line::raw(""));
        text.extend(render::status::hands(status, &self.view).into_iter().map(Line::raw));
        let left = height.saturating_sub(text.len());
        text.extend(self.last_events(left));
        text
    }

    fn last_events(&self, most: usize) -> Vec<Line<'static>> {
        let first = self.events.len().saturating_sub(most);
        self.events[first..].iter().flat_map(|line| plain(&render::events::line(line, &self.view))).collect()
    }
}

/// Relative to the highest of the curve; a line that does not answer has a gap.
fn curve(points: &VecDeque<Option<f32>>) -> String {
    const STEPS: [char; 7] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇'];
    let most = points.iter().flatten().copied().fold(1.0_f32, f32::max);
    let step = |ms: f32| {
        let level = STEPS.iter().zip(1_u8..).find(|(_, level)| ms / most <= f32::from(*level) / 7.0);
        level.map_or('▇', |(step, _)| *step)
    };
    points.iter().map(|point| point.map_or('·', step)).collect()
}

fn plain(text: &str) -> Vec<Line<'static>> {
    text.lines().map(|line| Line::raw(line.to_owned())).collect()
}

fn style(paint: Paint) -> Style {
    match paint {
        Paint::Plain => Style::default(),
        Paint::Bold => Style::default().add_modifier(Modifier::BOLD),
        Paint::Good => Style::default().fg(Color::Green),
        Paint::Doubtful => Style::default().fg(Color::Yellow),
        Paint::Bad => Style::default().fg(Color::Red).add_modifier(Modifier::BOLD),
    }
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;
    use crate::cli::render::tests::{backup, view};

    fn drawn(screen: &Screen) -> String {
        let mut terminal = Terminal::new(TestBackend::new(80, 12)).expect("a test backend");
        terminal.draw(|frame| screen.draw(frame)).expect("a test backend");
        terminal.backend().to_string()
    }

    #[test]
    fn a_daemon_that_does_not_answer_is_said() {
        let mut screen = Screen::new(view());
        screen.update(Err("error: the daemon is not running".to_owned()));
        assert!(drawn(&screen).contains("The daemon does not answer."));
    }

    #[test]
    fn lines_help_and_why_fit_one_screen() {
        let mut screen = Screen::new(view());
        screen.update(Ok((backup(), Vec::new())));
        insta::assert_snapshot!(drawn(&screen));
        assert!(screen.key(KeyCode::Char('?').into()));
        assert!(drawn(&screen).contains("this help"));
        assert!(screen.key(KeyCode::Char('w').into()));
        assert!(drawn(&screen).contains("path default (ipv4) on lte0"));
        assert!(!screen.key(KeyCode::Char('q').into()));
    }

    #[test]
    fn a_gap_in_the_curve_is_a_line_that_does_not_answer() {
        assert_eq!(curve(&VecDeque::from([Some(7.0), None, Some(1.0), Some(3.5)])), "▇·▁▄");
    }
}
