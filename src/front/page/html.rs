//! The one way to write a page: what we wrote goes in as it is, what comes from elsewhere is escaped and cut. No other
//! file builds HTML by hand.

/// No string of a config or an event is longer than this in its escaped form; what is, ends with "…".
const TEXT_BYTES: usize = 512;

/// A page that grows.
#[derive(Debug, Default)]
pub struct Html(String);

impl Html {
    /// Markup of ours.
    pub fn raw(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// Anything else, in a text or between double quotes.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.text_cut(text, TEXT_BYTES)
    }

    /// The same with another limit.
    pub fn text_cut(&mut self, text: &str, most: usize) -> &mut Self {
        let from = self.0.len();
        for c in text.chars() {
            if self.0.len() - from > most {
                self.0.push('…');
                break;
            }
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                '\n' => self.0.push('\n'),
                // Shown, never obeyed; also what turns the direction of writing.
                c if c.is_control()
                    || ('\u{202a}'..='\u{202e}').contains(&c)
                    || ('\u{2066}'..='\u{2069}').contains(&c) =>
                {
                    self.0.push('?');
                }
                c => self.0.push(c),
            }
        }
        self
    }

    pub fn number(&mut self, number: u64) -> &mut Self {
        self.0.push_str(&number.to_string());
        self
    }

    /// A message of ours with its `{places}` filled in. A place that nobody fills stays empty.
    pub fn message(&mut self, message: &'static str, values: &[(&str, &str)]) -> &mut Self {
        let mut rest = message;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').unwrap_or((after, ""));
            self.text(before);
            if let Some((_, value)) = values.iter().find(|(known, _)| *known == name) {
                self.text(value);
            }
            rest = after;
        }
        self.text(rest)
    }

    /// In bytes, so far.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn finish(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_elsewhere_stays_text() {
        let mut html = Html::default();
        html.text("<script>alert('1')</script> \"&amp;\"\u{1b}[2J\u{202e}");
        assert_eq!(html.finish(), "&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt; &quot;&amp;amp;&quot;?[2J?");
    }

    #[test]
    fn a_value_with_places_is_not_filled_again() {
        let mut html = Html::default();
        html.message("{a} and {b}{c}", &[("a", "{b}"), ("b", "<")]);
        assert_eq!(html.finish(), "{b} and &lt;");
    }

    #[test]
    fn a_long_text_is_cut_and_says_so() {
        let mut html = Html::default();
        html.text(&"<".repeat(1_000));
        assert!(html.len() < TEXT_BYTES + 16 && html.finish().ends_with('…'));
    }
}
