//! `live`: what is held now?

use crate::args::Live;
use crate::exit::{self, Usage};
use crate::json;
use crate::live::{self, Glyphs, Source, View};
use crate::state::State;
use std::io::{IsTerminal, Write};
use std::time::Duration;

/// Pictures on a terminal, where the user does not say otherwise.
const EVERY: Duration = Duration::from_millis(100);
/// The width of a picture that is no terminal's.
const PLAIN_WIDTH: u16 = 100;

/// Shows what is held now: on the terminal, once as text, or for a program.
pub fn run(args: &Live, out: &mut dyn Write) -> anyhow::Result<u8> {
    let every = args.interval.map_or(EVERY, Duration::from_millis);
    let is_on_terminal = !args.json && !args.once;
    let is_terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    if is_on_terminal && !is_terminal {
        return Err(Usage(
            "live needs a terminal: --once gives one picture as text, --json one for programs".into(),
        )
        .into());
    }
    let mut source = Source::open(args)?;
    if is_on_terminal {
        return live::show(source, every, args.top());
    }
    if args.json && args.interval.is_some() && !args.once {
        source.follow(every, args.top(), |state| {
            print(&state, out)?;
            Ok(true)
        })?;
        return Ok(exit::OK);
    }
    let state = source.state(args.top())?;
    if args.json {
        print(&state, out)?;
    } else {
        let width = ratatui::crossterm::terminal::size().ok().filter(|_| std::io::stdout().is_terminal());
        let mut view = View::new(every, Glyphs::ascii(), false);
        view.take(state);
        write!(out, "{}", view.text(width.map_or(PLAIN_WIDTH, |(width, _)| width.max(60))))?;
    }
    Ok(exit::OK)
}

fn print(state: &State, out: &mut dyn Write) -> anyhow::Result<()> {
    json::line(out, &serde_json::to_value(state)?)?;
    out.flush()?;
    Ok(())
}
