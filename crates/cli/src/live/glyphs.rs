//! The signs that bars and graphs are made of: blocks where the terminal has them, ASCII elsewhere and in logs.

/// A set of signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Glyphs {
    /// What is held now.
    pub used: &'static str,
    /// What was held at the peak, above what is held now.
    pub peak: &'static str,
    /// What was never held.
    pub room: &'static str,
    /// A cell of a graph, by how much of it is filled.
    pub eighths: [&'static str; 9],
    /// A column of a graph where nothing is known.
    pub gap: &'static str,
}

const BLOCKS: Glyphs = Glyphs {
    used: "\u{2588}",
    peak: "\u{2592}",
    room: "\u{b7}",
    eighths: [
        " ", "\u{2581}", "\u{2582}", "\u{2583}", "\u{2584}", "\u{2585}", "\u{2586}", "\u{2587}", "\u{2588}",
    ],
    gap: "\u{b7}",
};

const ASCII: Glyphs = Glyphs {
    used: "#",
    peak: "-",
    room: ".",
    eighths: [" ", "_", "_", "_", "=", "=", "=", "#", "#"],
    gap: ".",
};

impl Glyphs {
    /// For text that may go anywhere.
    pub fn ascii() -> Self {
        ASCII
    }

    /// For the terminal of this locale.
    pub fn of_locale(lookup: impl Fn(&str) -> Option<String>) -> Self {
        let is_set = |name: &&str| lookup(name).filter(|value| !value.is_empty());
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(is_set).unwrap_or_default();
        let locale = locale.to_ascii_lowercase().replace('-', "");
        if locale.contains("utf8") { BLOCKS } else { ASCII }
    }

    /// A bar of so many cells; `used` and `peak` are shares of it. What is held at all shows.
    pub fn bar(self, n_cells: usize, used: f64, peak: f64) -> (String, String, String) {
        let n_used = cells(used, n_cells);
        let n_peak = cells(peak, n_cells).saturating_sub(n_used);
        let n_room = n_cells.saturating_sub(n_used + n_peak);
        (self.used.repeat(n_used), self.peak.repeat(n_peak), self.room.repeat(n_room))
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "it is clamped"
)]
fn cells(share: f64, n_cells: usize) -> usize {
    (share.clamp(0.0, 1.0) * n_cells as f64).ceil() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_has_its_length_whatever_it_shows() {
        for (used, peak, shown) in [
            (0.0, 0.0, "......"),
            (0.001, 0.5, "#--..."),
            (0.5, 0.5, "###..."),
            (1.0, 1.0, "######"),
            (7.0, f64::NAN, "######"),
        ] {
            let (a, b, c) = ASCII.bar(6, used, peak);
            assert_eq!(format!("{a}{b}{c}"), shown);
        }
    }

    #[test]
    fn blocks_are_for_locales_that_have_them() {
        let with = |variables: &[(&str, &str)]| {
            let find = |name: &str| variables.iter().find(|(known, _)| *known == name);
            Glyphs::of_locale(|name| find(name).map(|(_, value)| (*value).to_owned()))
        };
        assert_eq!(with(&[("LANG", "de_DE.UTF-8")]), BLOCKS);
        assert_eq!(with(&[("LC_ALL", "C.utf8"), ("LANG", "C")]), BLOCKS);
        assert_eq!(with(&[("LC_ALL", "C"), ("LANG", "de_DE.UTF-8")]), ASCII);
        assert_eq!(with(&[]), ASCII);
    }
}
