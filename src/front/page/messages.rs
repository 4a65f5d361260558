//! All that staff reads, in seven languages. A language without a message does not compile; a test compares the
//! places to fill in. Written for somebody behind a counter: short, no word of ours (uplink, path, gateway).

mod de;
mod en;
mod es;
mod fr;
mod it;
mod nl;
mod pl;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Language {
    En,
    De,
    Fr,
    Es,
    It,
    Nl,
    Pl,
}

impl Language {
    pub const ALL: [Self; 7] = [Self::En, Self::De, Self::Fr, Self::Es, Self::It, Self::Nl, Self::Pl];

    /// ISO 639-1.
    pub fn code(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::De => "de",
            Self::Fr => "fr",
            Self::Es => "es",
            Self::It => "it",
            Self::Nl => "nl",
            Self::Pl => "pl",
        }
    }

    /// As those who read it call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::En => "English",
            Self::De => "Deutsch",
            Self::Fr => "Français",
            Self::Es => "Español",
            Self::It => "Italiano",
            Self::Nl => "Nederlands",
            Self::Pl => "Polski",
        }
    }

    pub fn of(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|language| language.code() == code)
    }

    pub fn messages(self) -> &'static Messages {
        match self {
            Self::En => &en::MESSAGES,
            Self::De => &de::MESSAGES,
            Self::Fr => &fr::MESSAGES,
            Self::Es => &es::MESSAGES,
            Self::It => &it::MESSAGES,
            Self::Nl => &nl::MESSAGES,
            Self::Pl => &pl::MESSAGES,
        }
    }
}

macro_rules! messages {
    ($($(#[doc = $why:literal])* $name:ident,)+) => {
        /// Each may have places to fill in: `{time}`.
        #[derive(Debug)]
        pub struct Messages {
            $($(#[doc = $why])* pub $name: &'static str,)+
        }

        impl Messages {
            #[cfg(test)]
            pub(super) fn all(&self) -> Vec<(&'static str, &'static str)> {
                vec![$((stringify!($name), self.$name),)+]
            }
        }
    };
}

messages! {
    title,
    /// One word beside the symbol, per face.
    word_works,
    word_backup,
    word_down,
    word_service,
    word_unknown,
    works,
    works_more,
    /// The line in use is bad, but works.
    slow,
    backup,
    backup_nothing_to_do,
    backup_downloads,
    /// Only after a receipt.
    told,
    down,
    down_not_you,
    down_one_line,
    down_two_lines,
    down_all_lines,
    service,
    service_not_us,
    unknown,
    unknown_try,
    last_works,
    last_backup,
    last_down,
    since,
    lasts,
    to_do,
    do_serve,
    do_note,
    do_call,
    do_tell,
    do_not,
    today,
    /// In the list of the day, and beside its colours.
    span_works,
    span_backup,
    span_down,
    span_unknown,
    /// The day without a failure, seen whole.
    all_well,
    /// The list has been cut.
    shorter,
    help,
    owner,
    phone,
    language,
    as_of,
    renews,
    details,
    seconds,
    minutes,
    hours,
    days,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn places(message: &str) -> BTreeSet<&str> {
        message.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name).collect()
    }

    #[test]
    fn every_language_has_every_message_with_the_same_places() {
        for (index, (name, english)) in Language::En.messages().all().into_iter().enumerate() {
            for language in Language::ALL {
                let (_, message) = language.messages().all()[index];
                assert!(!message.trim().is_empty(), "{name} in {language:?}");
                assert_eq!(places(message), places(english), "{name} in {language:?}: {message}");
                assert_eq!(message.matches('{').count(), message.matches('}').count(), "{name} in {language:?}");
            }
        }
    }

    #[test]
    fn no_sentence_was_left_untranslated() {
        let english = Language::En.messages().all();
        for language in Language::ALL.into_iter().filter(|language| *language != Language::En) {
            for ((name, message), (_, english)) in language.messages().all().into_iter().zip(&english) {
                let sentence = english.split(' ').count() > 2;
                assert!(!sentence || message != *english, "{name} in {language:?}");
            }
        }
    }

    /// The page must never tell somebody to pull a plug.
    #[test]
    fn the_only_advice_about_plugs_is_not_to_pull_them() {
        for (language, word) in [
            (Language::En, "unplug"),
            (Language::De, "Stecker"),
            (Language::Fr, "débranche"),
            (Language::Es, "desenchuf"),
            (Language::It, "spina"),
            (Language::Nl, "stekker"),
            (Language::Pl, "odłączać"),
        ] {
            let with: Vec<_> =
                language.messages().all().into_iter().filter(|(_, message)| message.contains(word)).collect();
            assert_eq!(with.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["do_not"], "{language:?}");
        }
    }

    #[test]
    fn codes_are_what_links_and_configs_use() {
        for language in Language::ALL {
            assert_eq!(Language::of(language.code()), Some(language));
        }
        assert_eq!(Language::of("xx"), None);
    }
}
