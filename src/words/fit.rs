//! Texts within a number of bytes: whole lines go from the end, never the ones that must stay; a line is cut at a character only
//! where it has no markup. Knows nothing of what the lines say.

/// What stands where something was left out.
const ELLIPSIS: &str = "…";

/// `lines`, with `between` them, in at most `limit` bytes. Lines that have one of `kept` in them stay, all others go from the
/// end. `None`: not even the first line, or what must stay, fits.
pub(super) fn whole_lines(lines: &[&str], between: &str, limit: usize, kept: &[&str]) -> Option<String> {
    let all = lines.join(between);
    if all.len() <= limit {
        return Some(all);
    }
    let stays = |line: &str| kept.iter().any(|kept| !kept.is_empty() && line.contains(kept));
    let gap = between.len() + ELLIPSIS.len();
    let staying: usize = lines
        .iter()
        .filter(|line| stays(line))
        .map(|line| line.len() + between.len())
        .sum();
    let mut room = limit.checked_sub(staying + gap)?;
    let (mut chosen, mut open) = (Vec::new(), true);
    for line in lines {
        if stays(line) {
            chosen.push(*line);
            continue;
        }
        let size = line.len() + between.len();
        if open && size <= room {
            room -= size;
            chosen.push(*line);
        } else if open {
            open = false;
            if chosen.iter().all(|line| stays(line)) {
                return None;
            }
            chosen.push(ELLIPSIS);
        }
    }
    Some(chosen.join(between))
}

/// `text` in at most `limit` bytes, cut at a character, with an ellipsis where there is room for one.
pub(super) fn cut(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let ellipsis = if limit >= ELLIPSIS.len() { ELLIPSIS } else { "" };
    let end = text.floor_char_boundary(limit - ellipsis.len());
    format!("{}{ellipsis}", text.get(..end).unwrap_or_default())
}

/// Lines without markup in at most `limit` bytes: the first ones, the last of them cut, and those of `tail` that find room, first ones first.
pub(super) fn plain(lines: &[String], tail: &[String], between: &str, limit: usize) -> String {
    let mut room = limit;
    let mut ends = Vec::new();
    for end in tail {
        // Half of the room is for what is told: a link alone tells nothing.
        let size = end.len() + between.len();
        if size <= room.saturating_sub(limit / 2) {
            room -= size;
            ends.push(end.as_str());
        }
    }
    let mut text = cut(&lines.join(between), room);
    for end in ends {
        text.push_str(between);
        text.push_str(end);
    }
    text
}
