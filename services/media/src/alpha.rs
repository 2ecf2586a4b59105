//! Whether there is an alpha channel in a picture, by how its file begins; of a film, see `film.rs`. Pure.

mod film;

/// What a PNG begins with, and where its first chunk, whose body has the kind of its colours, does.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";
const CHUNKS: usize = 8;
const COLOURS: usize = 25;
/// Grey with alpha, and colours with it.
const WITH_ALPHA: [u8; 2] = [4, 6];
/// The bytes of a chunk around its body: its length, its name, its checksum.
const AROUND: usize = 12;
const JPEG: &[u8] = b"\xff\xd8\xff";
/// Where a WebP says how it is written, and where its flags are: of the extended form a byte, of the lossless one the top of four.
const FORM: std::ops::Range<usize> = 12..16;
const FLAGS: usize = 20;
const LOSSLESS_FLAGS: usize = 24;

/// Whether a picture, or a film, certainly has none. One that does not say so in its beginning may have one.
pub(crate) fn is_missing(head: &[u8]) -> bool {
    if head.starts_with(PNG) {
        return is_opaque_png(head);
    }
    if head.starts_with(b"RIFF") {
        return is_opaque_webp(head);
    }
    head.starts_with(JPEG) || film::is_opaque(head)
}

/// Whether a codec of QuickTime has no alpha channel.
pub(crate) fn is_opaque_codec(codec: [u8; 4]) -> bool {
    film::OPAQUE.contains(&&codec[..])
}

fn is_opaque_png(head: &[u8]) -> bool {
    match head.get(COLOURS) {
        None => false,
        Some(colours) if WITH_ALPHA.contains(colours) => false,
        // Others may say of some of their colours that they are none.
        Some(_) => comes_before(head, b"IDAT", b"tRNS"),
    }
}

/// Whether the first of these chunks is there, and not behind the other.
fn comes_before(head: &[u8], first: &[u8; 4], other: &[u8; 4]) -> bool {
    let mut rest = head.get(CHUNKS..).unwrap_or_default();
    while let Some((length, body)) = rest.split_first_chunk::<4>() {
        let name = body.get(..4).unwrap_or_default();
        if name == first || name == other {
            return name == first;
        }
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        let next = length.saturating_add(AROUND);
        rest = rest.get(next..).unwrap_or_default();
    }
    false
}

fn is_opaque_webp(head: &[u8]) -> bool {
    let has = |place: usize, flag: u8| head.get(place).is_some_and(|flags| flags & flag != 0);
    match head.get(FORM) {
        Some(b"VP8 ") => true,
        Some(b"VP8L") => head.len() > LOSSLESS_FLAGS && !has(LOSSLESS_FLAGS, 0x10),
        Some(b"VP8X") => head.len() > FLAGS && !has(FLAGS, 0x10),
        Some(_) | None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn png(colours: u8, chunks: &[&[u8; 4]]) -> Vec<u8> {
        let mut file = PNG.to_vec();
        let mut chunk = |name: &[u8], body: &[u8]| {
            file.extend(u32::try_from(body.len()).unwrap().to_be_bytes());
            file.extend(name);
            file.extend(body);
            file.extend([0; 4]);
        };
        chunk(b"IHDR", &[0, 0, 0, 1, 0, 0, 0, 1, 8, colours, 0, 0, 0]);
        for name in chunks {
            chunk(*name, &[0; 7]);
        }
        file
    }

    fn webp(form: &[u8; 4], flags: [u8; 5]) -> Vec<u8> {
        [&b"RIFF\0\0\0\0WEBP"[..], form, &[0; 4], &flags].concat()
    }

    #[test]
    fn a_picture_says_whether_it_has_alpha() {
        let palette: [&[u8; 4]; 3] = [b"gAMA", b"PLTE", b"IDAT"];
        let clear: [&[u8; 4]; 3] = [b"PLTE", b"tRNS", b"IDAT"];
        for (file, is_opaque) in [
            (png(6, &[b"IDAT"]), false),
            (png(4, &[b"IDAT"]), false),
            (png(2, &[b"IDAT"]), true),
            (png(0, &[b"IDAT", b"tRNS"]), true),
            (png(3, &palette), true),
            (png(3, &clear), false),
            // What comes next is not there.
            (png(3, &palette[..2]), false),
            (PNG.to_vec(), false),
            (b"\xff\xd8\xff\xe0".to_vec(), true),
            (webp(b"VP8 ", [0; 5]), true),
            (webp(b"VP8L", [0x2f, 0, 0, 0, 0x10]), false),
            (webp(b"VP8L", [0x2f, 0xff, 0xff, 0xff, 0x0f]), true),
            (webp(b"VP8X", [0x10, 0, 0, 0, 0]), false),
            (webp(b"VP8X", [0x2e, 0, 0, 0, 0]), true),
            (b"RIFF".to_vec(), false),
            (b"\x1a\x45\xdf\xa3".to_vec(), false),
        ] {
            assert_eq!(is_missing(&file), is_opaque, "{file:x?}");
        }
    }
}
