//! The page for whoever stands behind the counter: one big sentence, what to do, how today was, whom to call.

use super::facts::{Face, Facts};
use super::html::Html;
use super::messages::{Language, Messages};
use super::timeline::{BUCKETS, Felt, Timeline};
use crate::control::status::{InternetState, Moment, Status};
use crate::health::State;

/// Changes of today in words; a line that flaps does not push the telephone number off the screen.
const SPANS: usize = 12;

/// `details`: the technician's page is served on this address as well.
pub fn page(facts: &Facts, language: Language, details: bool) -> String {
    let mut html = Html::default();
    let messages = language.messages();
    super::head(&mut html, language.code());
    html.raw("<title>").text(word(&facts.face, messages)).raw(" · ");
    title(&mut html, facts, messages);
    html.raw("</title>\n<header>");
    title(&mut html, facts, messages);
    html.raw("</header>\n<main>\n");
    hero(&mut html, facts, messages);
    if facts.face == Face::Down {
        to_do(&mut html, facts, messages);
    }
    if let Some(timeline) = &facts.timeline {
        today(&mut html, timeline, facts, messages);
    }
    help(&mut html, facts, messages);
    html.raw("</main>\n<footer>\n<p>");
    if let Some(now) = facts.status.as_ref().and_then(|status| facts.local(status.wall_ms?)) {
        html.message(messages.as_of, &[("time", &now)]).raw(" ");
    }
    html.text(messages.renews).raw("</p>\n");
    languages(&mut html, language);
    if details {
        html.raw("<p><a href=\"/it\">").text(messages.details).raw("</a></p>\n");
    }
    html.raw("</footer>\n");
    html.finish()
}

fn title(html: &mut Html, facts: &Facts, messages: &'static Messages) {
    match &facts.status {
        Some(status) => html.message(messages.title, &[("site", &status.site)]),
        None => html.text("Internet"),
    };
}

fn word(face: &Face, messages: &'static Messages) -> &'static str {
    match face {
        Face::Primary => messages.word_works,
        Face::Backup => messages.word_backup,
        Face::Down => messages.word_down,
        Face::Service { .. } => messages.word_service,
        Face::CannotTell => messages.word_unknown,
    }
}

fn hero(html: &mut Html, facts: &Facts, messages: &'static Messages) {
    let (section, symbol) = match facts.face {
        Face::Primary => ("<section class=\"hero works\">", "<path d=\"M7 13l3.5 3.5L17 9\"/>"),
        Face::Backup => ("<section class=\"hero backup\">", "<path d=\"M6 9.5h11l-3-3M18 14.5H7l3 3\"/>"),
        Face::Down => ("<section class=\"hero down\">", "<path d=\"M8 8l8 8M16 8l-8 8\"/>"),
        Face::Service { .. } => ("<section class=\"hero backup\">", "<path d=\"M12 6.5v7M12 17v.5\"/>"),
        Face::CannotTell => (
            "<section class=\"hero unknown\">",
            "<path d=\"M9 9.5a3 3 0 1 1 4.5 2.6c-1 .6-1.5 1.1-1.5 2.4M12 17.5v.3\"/>",
        ),
    };
    html.raw(section);
    html.raw("<p class=\"word\"><svg width=\"56\" height=\"56\" viewBox=\"0 0 24 24\" fill=\"none\" stroke=\"currentColor\" ");
    html.raw(
        "stroke-width=\"2\" stroke-linecap=\"round\" stroke-linejoin=\"round\" aria-hidden=\"true\"><circle cx=\"12\" ",
    );
    html.raw("cy=\"12\" r=\"10.5\" stroke-width=\"1.5\"/>").raw(symbol).raw("</svg> <b>");
    html.text(word(&facts.face, messages)).raw("</b></p>\n<h1>");
    match &facts.face {
        Face::Primary => html.text(messages.works),
        Face::Backup => html.text(messages.backup),
        Face::Down => html.text(messages.down),
        Face::Service { name } => html.message(messages.service, &[("service", name)]),
        Face::CannotTell => html.text(messages.unknown),
    };
    html.raw("</h1>\n");
    match (&facts.face, &facts.status) {
        (Face::Primary, Some(status)) if is_slow(status) => paragraph(html, messages.slow, &[]),
        (Face::Primary, _) => paragraph(html, messages.works_more, &[]),
        (Face::Backup, Some(status)) => {
            html.raw("<p><b>").text(messages.backup_nothing_to_do).raw("</b> ").text(messages.backup_downloads);
            html.raw("</p>\n");
            since(html, facts, status.internet.since, messages);
            told(html, facts, messages);
        }
        (Face::Down, Some(status)) => {
            html.raw("<p><b>").text(messages.down_not_you).raw("</b></p>\n");
            failed(html, facts, status, messages);
            told(html, facts, messages);
        }
        (Face::Service { .. }, _) => paragraph(html, messages.service_not_us, &[]),
        (Face::Backup | Face::Down, None) => {}
        (Face::CannotTell, _) => {
            paragraph(html, messages.unknown_try, &[]);
            let known = facts.last.and_then(|last| Some((last.state, facts.local(last.wall_ms)?)));
            if let Some((state, time)) = known {
                let message = match state {
                    InternetState::Primary => Some(messages.last_works),
                    InternetState::Backup => Some(messages.last_backup),
                    InternetState::Down => Some(messages.last_down),
                    InternetState::Unknown => None,
                };
                if let Some(message) = message {
                    paragraph(html, message, &[("time", &time)]);
                }
            }
        }
    }
    html.raw("</section>\n");
}

/// Every line that carries the traffic is bad.
fn is_slow(status: &Status) -> bool {
    let mut lines = super::facts::carrying(status).filter(|line| super::facts::works(line.state)).peekable();
    lines.peek().is_some() && lines.all(|line| line.state == State::Degraded)
}

fn since(html: &mut Html, facts: &Facts, moment: Moment, messages: &'static Messages) {
    match facts.clock(moment) {
        Some(time) => paragraph(html, messages.since, &[("time", &time)]),
        None => paragraph(html, messages.lasts, &[("duration", &duration(moment.ago_ms, messages))]),
    }
}

/// "Both lines failed at 10:42", if it is so; else since when.
fn failed(html: &mut Html, facts: &Facts, status: &Status, messages: &'static Messages) {
    let used = status.uplinks.iter().filter_map(|uplink| uplink.line()).filter(|line| line.state != State::Disabled);
    let (lines, all) = used.fold((0_u32, true), |(count, all), line| (count + 1, all && line.state == State::Down));
    let time = facts.clock(status.internet.since).filter(|_| all);
    match (time, lines) {
        (Some(time), 1) => paragraph(html, messages.down_one_line, &[("time", &time)]),
        (Some(time), 2) => paragraph(html, messages.down_two_lines, &[("time", &time)]),
        (Some(time), count) => {
            paragraph(html, messages.down_all_lines, &[("time", &time), ("count", &count.to_string())]);
        }
        (None, _) => since(html, facts, status.internet.since, messages),
    }
}

fn told(html: &mut Html, facts: &Facts, messages: &'static Messages) {
    if let Some(time) = facts.told.and_then(|told| facts.clock(told)) {
        paragraph(html, messages.told, &[("time", &time)]);
    }
}

fn to_do(html: &mut Html, facts: &Facts, messages: &'static Messages) {
    html.raw("<section>\n<h2>").text(messages.to_do).raw("</h2>\n<ol>\n<li>");
    match facts.status.as_ref().and_then(|status| status.owner.as_deref()) {
        Some(owner) => html.message(messages.do_call, &[("name", owner)]),
        None => html.text(messages.do_tell),
    };
    html.raw("</li>\n<li>").text(messages.do_note).raw("</li>\n<li>").text(messages.do_serve);
    html.raw("</li>\n</ol>\n<p class=\"not\"><b>").text(messages.do_not).raw("</b></p>\n</section>\n");
}

fn today(html: &mut Html, timeline: &Timeline, facts: &Facts, messages: &'static Messages) {
    html.raw("<section>\n<h2>").text(messages.today).raw("</h2>\n");
    bar(html, timeline, messages);
    html.raw("<p class=\"key\">");
    for felt in Felt::ALL {
        let (mark, name) = span(felt, messages);
        html.raw(mark).text(name).raw("</span> ");
    }
    html.raw("</p>\n");
    let whole = timeline.spans.iter().all(|span| span.felt == Felt::Works);
    if whole {
        html.raw("<p>").text(messages.all_well).raw("</p>\n</section>\n");
        return;
    }
    html.raw("<ul class=\"spans\">\n");
    for it in timeline.spans.iter().rev().take(SPANS) {
        let (mark, name) = span(it.felt, messages);
        let (from, to) = (facts.local(it.from).unwrap_or_default(), facts.local(it.to).unwrap_or_default());
        html.raw("<li><time>").text(&from).raw("–").text(&to).raw("</time> ").raw(mark).text(name).raw("</span>");
        html.raw(" <small>").text(&duration(it.to.saturating_sub(it.from), messages)).raw("</small></li>\n");
    }
    html.raw("</ul>\n");
    if let Some(more) = timeline.spans.len().checked_sub(SPANS).filter(|more| *more > 0) {
        html.raw("<p>").message(messages.shorter, &[("count", &more.to_string())]).raw("</p>\n");
    }
    html.raw("</section>\n");
}

/// How high a bar stands tells as much as its colour does.
fn bar(html: &mut Html, timeline: &Timeline, messages: &'static Messages) {
    html.raw("<svg class=\"day\" width=\"100%\" height=\"44\" viewBox=\"0 0 144 22\" preserveAspectRatio=\"none\" role=\"img\" ");
    html.raw("aria-labelledby=\"day\"><title id=\"day\">").text(messages.today).raw("</title>");
    let bars = timeline.bars();
    for felt in Felt::ALL {
        // The fill is for browsers without our style.
        let (open, top) = match felt {
            Felt::Works => ("<path class=\"works\" fill=\"#1f6b45\" d=\"", 14),
            Felt::Backup => ("<path class=\"backup\" fill=\"#8a5a00\" d=\"", 7),
            Felt::Down => ("<path class=\"down\" fill=\"#a3231f\" d=\"", 0),
            Felt::Unknown => ("<path class=\"unknown\" fill=\"#7a828a\" d=\"", 19),
        };
        html.raw(open);
        for (first, end, _) in bars.iter().filter(|(_, _, it)| *it == felt) {
            html.raw("M").number(*first as u64).raw(" ").number(top).raw("H").number(*end as u64).raw("V22H");
            html.number(*first as u64).raw("z");
        }
        html.raw("\"/>");
    }
    debug_assert_eq!(BUCKETS, 144, "as the box above says");
    html.raw("</svg>\n<p class=\"hours\" aria-hidden=\"true\"><span>0</span> <span>6</span> <span>12</span> <span>18</span> ");
    html.raw("<span>24</span></p>\n");
}

fn span(felt: Felt, messages: &'static Messages) -> (&'static str, &'static str) {
    match felt {
        Felt::Works => ("<span class=\"works\">", messages.span_works),
        Felt::Backup => ("<span class=\"backup\">", messages.span_backup),
        Felt::Down => ("<span class=\"down\">", messages.span_down),
        Felt::Unknown => ("<span class=\"unknown\">", messages.span_unknown),
    }
}

fn help(html: &mut Html, facts: &Facts, messages: &'static Messages) {
    let Some(status) = &facts.status else { return };
    if status.owner.is_none() && status.config.phone.is_none() {
        return;
    }
    html.raw("<section>\n<h2>").text(messages.help).raw("</h2>\n<dl>\n");
    if let Some(owner) = &status.owner {
        html.raw("<dt>").text(messages.owner).raw("</dt><dd>").text(owner).raw("</dd>\n");
    }
    if let Some(phone) = &status.config.phone {
        html.raw("<dt>").text(messages.phone).raw("</dt><dd>").text(phone).raw("</dd>\n");
    }
    html.raw("</dl>\n</section>\n");
}

fn languages(html: &mut Html, current: Language) {
    html.raw("<nav aria-label=\"").text(current.messages().language).raw("\">");
    for language in Language::ALL {
        let (code, name) = (language.code(), language.name());
        if language == current {
            html.raw("<b lang=\"").text(code).raw("\" aria-current=\"true\">").text(name).raw("</b> ");
        } else {
            html.raw("<a href=\"/?lang=").text(code).raw("\" lang=\"").text(code).raw("\">").text(name).raw("</a> ");
        }
    }
    html.raw("</nav>\n");
}

/// Cut, as everywhere; hours with their minutes, since people compare them with a clock.
fn duration(ms: u64, messages: &'static Messages) -> String {
    let seconds = ms / 1_000;
    let (message, count) = match seconds {
        0..60 => (messages.seconds, seconds),
        60..3_600 => (messages.minutes, seconds / 60),
        3_600..172_800 => (messages.hours, seconds / 3_600),
        _ => (messages.days, seconds / 86_400),
    };
    let text = message.replace("{count}", &count.to_string());
    match seconds % 3_600 / 60 {
        minutes @ 1.. if (3_600..172_800).contains(&seconds) => {
            format!("{text} {}", messages.minutes.replace("{count}", &minutes.to_string()))
        }
        _ => text,
    }
}

fn paragraph(html: &mut Html, message: &'static str, values: &[(&str, &str)]) {
    html.raw("<p>").message(message, values).raw("</p>\n");
}
