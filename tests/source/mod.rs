//! Our source files as the layering test reads them: without comments, string contents and tests.

use std::path::Path;

pub(crate) struct Source {
    pub(crate) file: String,
    code: String,
}

impl Source {
    pub(crate) fn new(file: &str, text: &str) -> Self {
        let mut code = without_words(text);
        // Tests stand last in a file, and may do what they like.
        if let Some(at) = code.find("#[cfg(test)]\nmod tests {") {
            code.truncate(at);
        }
        Self { file: file.to_owned(), code }
    }

    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code.lines().zip(1..).map(|(text, line)| (line, text))
    }

    /// Every path of two or more names with its line: `use` trees spelt out, `super` and `self` resolved.
    pub(crate) fn paths(&self) -> impl Iterator<Item = (usize, String)> {
        let mut found = Vec::new();
        let mut rest = 0;
        while let Some(start) = next_name(&self.code, rest) {
            let line = self.code[..start].matches('\n').count() + 1;
            rest = tree(&self.code, start, "", &mut |at, path| {
                let line = line + self.code[start..at].matches('\n').count();
                found.push((line, self.absolute(&path)));
            });
        }
        found.into_iter().filter(|(_, path)| path.contains("::"))
    }

    fn absolute(&self, path: &str) -> String {
        let mut here: Vec<&str> = self.file.trim_start_matches("src/").trim_end_matches(".rs").split('/').collect();
        if here.last() == Some(&"mod") {
            here.pop();
        }
        let mut names: Vec<&str> = path.split("::").collect();
        if !matches!(names[0], "self" | "super") {
            return path.to_owned();
        }
        while let Some(first @ ("self" | "super")) = names.first().copied() {
            if first == "super" {
                here.pop();
            }
            names.remove(0);
        }
        let all: Vec<&str> = ["crate"].into_iter().chain(here).chain(names).collect();
        all.join("::")
    }
}

/// All of `src/`, without files that hold tests only.
pub(crate) fn sources() -> impl Iterator<Item = Source> {
    let mut files = Vec::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), "src", &mut files);
    files.sort();
    let tests: Vec<String> = files.iter().flat_map(|file| test_modules(file)).collect();
    files.retain(|file| !tests.contains(file));
    files.into_iter().map(|file| {
        let text = read(&file);
        Source::new(&file, &text)
    })
}

/// Files that a file declares for its tests: `#[cfg(test)] mod name;`.
fn test_modules(file: &str) -> Vec<String> {
    let text = read(file);
    let folder = file.trim_end_matches(".rs").trim_end_matches("/mod");
    let declared = text.split("#[cfg(test)]\n").skip(1).filter_map(|rest| rest.lines().next()?.strip_suffix(';'));
    let names = declared.filter_map(|line| line.rsplit_once("mod ").map(|(_, name)| name));
    names.map(|name| format!("{folder}/{name}.rs")).collect()
}

fn read(file: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).expect("a source file is text")
}

fn collect(folder: &Path, name: &str, files: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).expect("the folder is there") {
        let entry = entry.expect("the folder can be read");
        let file = entry.file_name().into_string().expect("names are plain");
        let whole = format!("{name}/{file}");
        let tests = file.ends_with("tests.rs") || file == "tests";
        if entry.path().is_dir() && !tests {
            collect(&entry.path(), &whole, files);
        } else if file.ends_with(".rs") && !tests {
            files.push(whole);
        }
    }
}

/// The text with comments and the insides of strings blanked, so that lines keep their numbers.
fn without_words(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if first == '"' {
            string(rest)
        } else if first == 'r' && !out.ends_with(is_name) {
            raw_string(rest).unwrap_or(0)
        } else if first == '\'' {
            character(rest)
        } else {
            0
        };
        if length == 0 {
            out.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            out.extend(rest[..length].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
            rest = &rest[length..];
        }
    }
    out
}

fn string(text: &str) -> usize {
    let mut escaped = true; // the opening quote
    let end = text.char_indices().find(|(_, c)| {
        let closes = *c == '"' && !escaped;
        escaped = *c == '\\' && !escaped;
        closes
    });
    end.map_or(text.len(), |(at, _)| at + 1)
}

fn raw_string(text: &str) -> Option<usize> {
    let hashes = text[1..].chars().take_while(|c| *c == '#').count();
    let inside = text[1 + hashes..].strip_prefix('"')?;
    let end = inside.find(&format!("\"{}", "#".repeat(hashes)))?;
    Some(1 + hashes + 1 + end + 1 + hashes)
}

/// A character, not a lifetime.
fn character(text: &str) -> usize {
    let mut characters = text.char_indices().skip(1);
    match (characters.next(), characters.next()) {
        (Some((_, '\\')), Some(_)) => characters.find(|(_, c)| *c == '\'').map_or(0, |(at, _)| at + 1),
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 0,
    }
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn next_name(code: &str, from: usize) -> Option<usize> {
    code[from..].find(is_name).map(|at| from + at)
}

/// Reads `a::b::{c, d::e}` from `at`, tells each whole path, and returns where it ends.
fn tree(code: &str, at: usize, before: &str, tell: &mut impl FnMut(usize, String)) -> usize {
    let mut path = before.to_owned();
    let mut here = at;
    loop {
        let name = code[here..].find(|c| !is_name(c)).map_or(code.len(), |length| here + length);
        if name == here {
            break;
        }
        path = if path.is_empty() { code[here..name].to_owned() } else { format!("{path}::{}", &code[here..name]) };
        here = name;
        let Some(more) = code[here..].strip_prefix("::") else { break };
        here = code.len() - more.len();
        if more.starts_with('{') {
            return branches(code, here + 1, &path, tell);
        }
    }
    tell(at, path);
    here
}

fn branches(code: &str, from: usize, path: &str, tell: &mut impl FnMut(usize, String)) -> usize {
    let mut here = from;
    while let Some(c) = code[here..].chars().next() {
        if c == '}' {
            return here + 1;
        }
        here = if is_name(c) { tree(code, here, path, tell) } else { here + c.len_utf8() };
    }
    here
}
