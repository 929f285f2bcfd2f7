//! How reports look: units and colour. Set once, before the first report; the default is plain.

use clap::ValueEnum;
use std::io::IsTerminal;
use std::sync::OnceLock;

/// Options of every verb.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Look {
    /// When to use colour; auto: on a terminal, unless NO_COLOR is set
    #[arg(
        long,
        global = true,
        value_enum,
        default_value = "auto",
        value_name = "WHEN",
        help_heading = "Presentation"
    )]
    pub color: When,
    /// Powers of two (KiB), powers of ten (kB), or exact bytes. JSON always holds exact bytes
    #[arg(
        long,
        global = true,
        value_enum,
        default_value = "iec",
        value_name = "UNITS",
        help_heading = "Presentation"
    )]
    pub units: Units,
}

/// When something is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum When {
    /// Where it makes sense.
    Auto,
    /// In files and pipes, too.
    Always,
    /// Not at all.
    Never,
}

/// The units of sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Units {
    /// Powers of two, as memory sizes are.
    Iec,
    /// Powers of ten.
    Si,
    /// Exact.
    Bytes,
}

/// What a text is; it is always said in words as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// A head.
    Head,
    /// In order.
    Good,
    /// To look at.
    Odd,
    /// Something is missing.
    Bad,
}

static CHOSEN: OnceLock<(bool, Units)> = OnceLock::new();

/// Takes the user's choice, for the rest of the process. Only text on standard output is ever coloured.
pub fn choose(look: Look, is_text: bool) {
    let lookup = |name: &str| std::env::var(name).ok();
    let is_coloured = is_text && is_coloured(look.color, lookup, std::io::stdout().is_terminal());
    // Nobody chooses twice.
    let _ = CHOSEN.set((is_coloured, look.units));
}

/// The units to use.
pub fn units() -> Units {
    CHOSEN.get().map_or(Units::Iec, |(_, units)| *units)
}

/// Whether colour is wanted.
pub fn has_colour() -> bool {
    CHOSEN.get().is_some_and(|(is_coloured, _)| *is_coloured)
}

/// The text in the colour of its tone, where colour is wanted.
pub fn paint(tone: Tone, text: &str) -> String {
    if !has_colour() || text.is_empty() {
        return text.to_owned();
    }
    let code = match tone {
        Tone::Head => "1",
        Tone::Good => "32",
        Tone::Odd => "33",
        Tone::Bad => "31;1",
    };
    format!("\x1b[{code}m{text}\x1b[0m")
}

/// The option, then `NO_COLOR`, then what forces colour, then the terminal.
fn is_coloured(when: When, lookup: impl Fn(&str) -> Option<String>, is_terminal: bool) -> bool {
    let is_set = |name: &str| lookup(name).is_some_and(|value| !value.is_empty());
    let forces = |name: &str| lookup(name).is_some_and(|value| !value.is_empty() && value != "0");
    match when {
        When::Always => true,
        When::Never => false,
        When::Auto if is_set("NO_COLOR") => false,
        When::Auto if forces("CLICOLOR_FORCE") || forces("FORCE_COLOR") => true,
        When::Auto => is_terminal && lookup("TERM").is_none_or(|term| term != "dumb"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_option_comes_before_the_environment_and_that_before_the_terminal() {
        let with = |when, variables: &[(&str, &str)], is_terminal| {
            let find = |name: &str| variables.iter().find(|(known, _)| *known == name);
            is_coloured(when, |name| find(name).map(|(_, value)| (*value).to_owned()), is_terminal)
        };
        assert!(with(When::Always, &[("NO_COLOR", "1")], false));
        assert!(!with(When::Never, &[("FORCE_COLOR", "1")], true));
        assert!(!with(When::Auto, &[("NO_COLOR", "1"), ("FORCE_COLOR", "1")], true));
        assert!(with(When::Auto, &[("NO_COLOR", ""), ("FORCE_COLOR", "1")], false));
        assert!(with(When::Auto, &[("CLICOLOR_FORCE", "1")], false));
        assert!(!with(When::Auto, &[("CLICOLOR_FORCE", "0")], false));
        assert!(with(When::Auto, &[("TERM", "xterm")], true));
        assert!(!with(When::Auto, &[("TERM", "dumb")], true));
        assert!(!with(When::Auto, &[], false));
    }
}
