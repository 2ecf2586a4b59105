//! What differs between two texts, line by line. Pure.

/// Lines of the longer of two texts at most, for the shortest difference: beyond, whatever lies between what is equal at both ends is
/// taken out and put in. The table of the shortest one has the square of it.
const LONGEST: usize = 1_000;

/// A line of a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line<'t> {
    /// It is in both.
    Same(&'t str),
    /// Only in the first.
    Out(&'t str),
    /// Only in the second.
    In(&'t str),
}

/// The lines of two texts, each once where it is in both.
pub(crate) fn lines<'t>(before: &'t str, after: &'t str) -> Vec<Line<'t>> {
    let (old, new): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let equal = |(one, other): &(&&str, &&str)| one == other;
    let head = old.iter().zip(&new).take_while(equal).count();
    let (old_rest, new_rest) = (tail(&old, head), tail(&new, head));
    let end = old_rest
        .iter()
        .rev()
        .zip(new_rest.iter().rev())
        .take_while(equal)
        .count();
    let old_middle = front(old_rest, old_rest.len().saturating_sub(end));
    let new_middle = front(new_rest, new_rest.len().saturating_sub(end));
    let mut lines: Vec<Line<'t>> = front(&old, head).iter().copied().map(Line::Same).collect();
    if old_middle.len().max(new_middle.len()) > LONGEST {
        lines.extend(old_middle.iter().copied().map(Line::Out));
        lines.extend(new_middle.iter().copied().map(Line::In));
    } else {
        lines.extend(shortest(old_middle, new_middle));
    }
    let same = tail(old_rest, old_middle.len());
    lines.extend(same.iter().copied().map(Line::Same));
    lines
}

/// The same without what is equal, but for some lines around what differs; `None` stands for what is left out.
pub(crate) fn around<'t>(lines: &[Line<'t>], context: usize) -> Vec<Option<Line<'t>>> {
    let differs = |place: usize| {
        let from = place.saturating_sub(context);
        let near = lines.iter().skip(from).take(
            place
                .saturating_sub(from)
                .saturating_add(context)
                .saturating_add(1),
        );
        near.into_iter().any(|line| !matches!(line, Line::Same(_)))
    };
    let mut shown = Vec::new();
    for (place, line) in lines.iter().enumerate() {
        if differs(place) {
            shown.push(Some(*line));
        } else if !matches!(shown.last(), Some(None)) {
            shown.push(None);
        }
    }
    shown
}

/// By the longest lines that both have in the same order.
fn shortest<'t>(old: &[&'t str], new: &[&'t str]) -> Vec<Line<'t>> {
    // How many lines both have in common from there on: a row for each old line, and one behind them.
    let width = new.len().saturating_add(1);
    let mut common = vec![vec![0_u32; width]; old.len().saturating_add(1)];
    let at = |common: &[Vec<u32>], row: usize, column: usize| {
        let found = common.get(row).and_then(|row| row.get(column));
        found.copied().unwrap_or_default()
    };
    for (row, one) in old.iter().enumerate().rev() {
        for (column, other) in new.iter().enumerate().rev() {
            let (below, beside) = (row.saturating_add(1), column.saturating_add(1));
            let longest = if one == other {
                at(&common, below, beside).saturating_add(1)
            } else {
                at(&common, below, column).max(at(&common, row, beside))
            };
            if let Some(cell) = common.get_mut(row).and_then(|row| row.get_mut(column)) {
                *cell = longest;
            }
        }
    }
    let (mut row, mut column) = (0_usize, 0_usize);
    let mut lines = Vec::new();
    loop {
        let (below, beside) = (row.saturating_add(1), column.saturating_add(1));
        match (old.get(row), new.get(column)) {
            (Some(one), Some(other)) if one == other => {
                lines.push(Line::Same(one));
                (row, column) = (below, beside);
            }
            (Some(one), other)
                if other.is_none() || at(&common, below, column) >= at(&common, row, beside) =>
            {
                lines.push(Line::Out(one));
                row = below;
            }
            (_, Some(other)) => {
                lines.push(Line::In(other));
                column = beside;
            }
            (_, None) => return lines,
        }
    }
}

fn front<'s, 't>(lines: &'s [&'t str], count: usize) -> &'s [&'t str] {
    lines.get(..count).unwrap_or_default()
}

fn tail<'s, 't>(lines: &'s [&'t str], from: usize) -> &'s [&'t str] {
    lines.get(from..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{
        Line::{In, Out, Same},
        *,
    };

    #[test]
    fn what_differs_stands_between_what_does_not() {
        assert_eq!(
            lines("a\nb\nc\nd", "a\nx\nc\ny\nd"),
            [Same("a"), Out("b"), In("x"), Same("c"), In("y"), Same("d")]
        );
        assert_eq!(lines("", "a"), [In("a")]);
        assert_eq!(lines("a", ""), [Out("a")]);
        assert_eq!(lines("a\nb", "a\nb"), [Same("a"), Same("b")]);
    }

    #[test]
    fn both_texts_can_be_made_of_the_lines() {
        let (before, after) = ("a\na\nb\na\nc", "b\na\na\nc\nb");
        let lines = lines(before, after);
        let old = lines.iter().filter_map(|line| match line {
            Same(text) | Out(text) => Some(*text),
            In(_) => None,
        });
        assert_eq!(old.collect::<Vec<_>>().join("\n"), before);
        let new = lines.iter().filter_map(|line| match line {
            Same(text) | In(text) => Some(*text),
            Out(_) => None,
        });
        assert_eq!(new.collect::<Vec<_>>().join("\n"), after);
    }

    #[test]
    fn long_texts_are_compared_too() {
        let many = |word: &str| vec![word; LONGEST + 1].join("\n");
        let (before, after) = (format!("a\n{}", many("b")), format!("a\n{}", many("c")));
        let found = lines(&before, &after);
        assert_eq!(found.len(), 2 * LONGEST + 3);
        assert_eq!(found[0], Same("a"));
    }

    #[test]
    fn what_is_far_from_a_difference_is_left_out() {
        let found = lines("1\n2\n3\n4\n5\n6", "1\n2\n3\nx\n5\n6");
        assert_eq!(
            around(&found, 1),
            [
                None,
                Some(Same("3")),
                Some(Out("4")),
                Some(In("x")),
                Some(Same("5")),
                None
            ]
        );
    }
}
