//! A statement as a definition.

use super::words::Words;
use super::{Definition, Mark, Member, Name, Thing, alter};
use crate::token::Token;

/// What can be done again and says nothing of what was there before.
const REPEATABLE: [&str; 4] = ["GRANT", "ANALYZE", "OPTIMIZE", "FLUSH"];

/// What is made and dropped under a name.
const KINDS: [&str; 7] = ["TABLE", "INDEX", "VIEW", "TRIGGER", "FUNCTION", "PROCEDURE", "EVENT"];

/// Reads one statement.
pub(super) struct Reader<'a> {
    words: Words<'a>,
}

impl<'a> Reader<'a> {
    pub(super) fn of(tokens: &'a [Token<'a>]) -> Self {
        Self { words: Words(tokens) }
    }

    pub(super) fn definition(&mut self) -> Option<Definition> {
        if self.words.take(&["SET", "STATEMENT"]) {
            // MariaDB's settings for one statement.
            self.words.behind("FOR")?;
        }
        match self.words.any(&["ALTER", "RENAME", "CREATE", "DROP"]) {
            Some("ALTER") => {
                self.words.take(&["ONLINE"]);
                self.words.take(&["IGNORE"]);
                if self.words.take(&["TABLE"]) { alter::read(self.words) } else { None }
            }
            Some("RENAME") => self.words.any(&["TABLE", "TABLES"]).and_then(|_| self.rename()),
            Some("CREATE") => self.create(),
            Some(_) => self.drop(),
            None => {
                let again = self.words.any(&REPEATABLE).is_some() || self.revokes_again();
                again.then(|| Definition { repeatable: true, ..Definition::default() })
            }
        }
    }

    /// Whether it takes rights away that need not be there. Of all others it is an error that they aren't.
    fn revokes_again(&mut self) -> bool {
        self.words.take(&["REVOKE"])
            && (self.words.take(&["IF", "EXISTS"])
                || self.words.take(&["ALL", "PRIVILEGES"]) && self.words.symbol(",")
                || self.words.take(&["ALL"]) && self.words.symbol(","))
    }

    fn create(&mut self) -> Option<Definition> {
        let replaces = self.words.take(&["OR", "REPLACE"]);
        // Before the kind may stand an algorithm, a definer and more; but not that it is for the session only.
        let kind = loop {
            if self.words.begins(&["TEMPORARY"]) {
                return None;
            }
            match self.words.any(&KINDS) {
                Some(kind) => break kind,
                None => drop(self.words.next()?),
            }
        };
        // Done again, it would empty what has been written since.
        if replaces && kind == "TABLE" {
            return None;
        }
        let repeatable = self.words.condition() || replaces;
        let thing = self.thing(kind)?;
        let mut tables: Vec<Name> = thing.table().into_iter().cloned().collect();
        if kind == "TRIGGER" {
            self.words.behind("ON")?;
            tables.extend(self.words.name());
        }
        Some(Definition { tables, marks: vec![Mark { thing, there: true }], repeatable, builds: false })
    }

    fn drop(&mut self) -> Option<Definition> {
        let kind = self.words.any(&KINDS)?;
        let repeatable = self.words.condition();
        let mut marks = vec![Mark { thing: self.thing(kind)?, there: false }];
        while self.words.symbol(",") {
            marks.push(Mark { thing: self.thing(kind)?, there: false });
        }
        let tables = marks.iter().filter_map(|mark| mark.thing.table()).cloned().collect();
        Some(Definition { tables, marks, repeatable, builds: false })
    }

    fn rename(&mut self) -> Option<Definition> {
        let repeatable = self.words.condition();
        let (mut tables, mut marks): (Vec<Name>, Vec<Mark>) = (Vec::new(), Vec::new());
        loop {
            let from = self.words.name()?;
            self.words.wait();
            if !self.words.take(&["TO"]) {
                return None;
            }
            let to = self.words.name()?;
            for (name, there) in [(from, false), (to, true)] {
                tables.push(name.clone());
                // What the last pair says of a name is what holds in the end.
                let thing = Thing::Table(name);
                marks.retain(|mark| mark.thing != thing);
                marks.push(Mark { thing, there });
            }
            if !self.words.symbol(",") {
                return Some(Definition { tables, marks, repeatable, builds: false });
            }
        }
    }

    fn thing(&mut self, kind: &str) -> Option<Thing> {
        let name = self.words.name()?;
        Some(match kind {
            "TABLE" | "VIEW" => Thing::Table(name),
            "TRIGGER" => Thing::Trigger(name),
            "EVENT" => Thing::Event(name),
            "INDEX" => {
                self.words.behind("ON")?;
                Thing::Member(self.words.name()?, Member::Index, name.name)
            }
            _ => Thing::Routine(name),
        })
    }
}
