//! The picture that stands for a provider's: a gradient in the colours of the seed, clearly marked as sandbox output.
//!
//! Pure and cheap: one byte a pixel (an indexed PNG), a few milliseconds a megapixel. It must run off the async threads.

use font8x8::UnicodeFonts as _;
use jpeg_encoder::ColorType as JpegColour;

use crate::Error;

/// What to draw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Picture {
    /// In pixels, as the height.
    pub(crate) width: u16,
    pub(crate) height: u16,
    /// Chooses the colours.
    pub(crate) seed: i64,
    /// Written in the middle, the first one large.
    pub(crate) lines: Vec<String>,
}

/// How a picture is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Png,
    Jpeg,
}

/// One byte a pixel: shades `0..=SHADES`, then the two inks.
struct Canvas {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

/// The shades of the gradient are `0..=SHADES`.
const SHADES: u8 = 253;
const SHADOW: u8 = 254;
const INK: u8 = 255;

/// A glyph's side in dots.
const GLYPH: usize = 8;

const JPEG_QUALITY: u8 = 85;

// === impl Picture ===

impl Picture {
    /// Draws and encodes the picture.
    ///
    /// # Errors
    /// When the encoder fails, which it has no reason to.
    pub(crate) fn encode(&self, format: Format) -> Result<Vec<u8>, Error> {
        let canvas = self.draw();
        let palette = palette(self.seed);
        match format {
            Format::Png => self.png(&canvas, &palette),
            Format::Jpeg => self.jpeg(&canvas, &palette),
        }
    }

    /// A PNG of what stands in the middle, with nothing around it.
    ///
    /// # Errors
    /// When the encoder fails, which it has no reason to.
    pub(crate) fn cut_out(&self) -> Result<Vec<u8>, Error> {
        self.rgba(&self.draw(), &palette(self.seed))
    }

    fn draw(&self) -> Canvas {
        let (width, height) = (usize::from(self.width), usize::from(self.height));
        let mut pixels = Vec::with_capacity(width * height);
        for y in 0..height {
            let shade = y * usize::from(SHADES) / height.max(1);
            let row = pixels.len() + width;
            pixels.resize(row, u8::try_from(shade).unwrap_or(SHADES));
        }
        let mut canvas = Canvas {
            width,
            height,
            pixels,
        };
        // The first line takes about two thirds of the width, the others a third of its size.
        let longest = self.lines.first().map_or(1, |line| line.len().max(1));
        let large = (width * 2 / (3 * GLYPH * longest)).max(1);
        let mut top = height / 3;
        for (number, line) in self.lines.iter().enumerate() {
            let scale = if number == 0 {
                large
            } else {
                (large / 3).max(1)
            };
            canvas.write(line, top, scale);
            top += GLYPH * scale * 3 / 2;
        }
        canvas
    }

    fn png(&self, canvas: &Canvas, palette: &[[u8; 3]]) -> Result<Vec<u8>, Error> {
        let mut out = Vec::new();
        let mut encoder = png::Encoder::new(&mut out, self.width.into(), self.height.into());
        encoder.set_color(png::ColorType::Indexed);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_palette(palette.concat());
        encoder.set_compression(png::Compression::Fast);
        encoder.set_filter(png::Filter::Up);
        encoder.add_text_chunk("Software".to_owned(), "sandbox".to_owned())?;
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&canvas.pixels)?;
        writer.finish()?;
        Ok(out)
    }

    /// Four bytes a pixel: an oval, and the letters, on what is transparent.
    fn rgba(&self, canvas: &Canvas, palette: &[[u8; 3]]) -> Result<Vec<u8>, Error> {
        let mut colours = Vec::with_capacity(canvas.pixels.len() * 4);
        for (place, pixel) in canvas.pixels.iter().enumerate() {
            let colour = palette.get(usize::from(*pixel));
            let [r, g, b] = colour.copied().unwrap_or_default();
            colours.extend(if *pixel > SHADES || canvas.is_within(place) {
                [r, g, b, u8::MAX]
            } else {
                [0; 4]
            });
        }
        let mut out = Vec::new();
        let mut encoder = png::Encoder::new(&mut out, self.width.into(), self.height.into());
        encoder.set_color(png::ColorType::Rgba);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_compression(png::Compression::Fast);
        encoder.set_filter(png::Filter::Up);
        encoder.add_text_chunk("Software".to_owned(), "sandbox".to_owned())?;
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&colours)?;
        writer.finish()?;
        Ok(out)
    }

    fn jpeg(&self, canvas: &Canvas, palette: &[[u8; 3]]) -> Result<Vec<u8>, Error> {
        let colour = |pixel: &u8| {
            palette
                .get(usize::from(*pixel))
                .copied()
                .unwrap_or_default()
        };
        let colours: Vec<u8> = canvas.pixels.iter().flat_map(colour).collect();
        let mut out = Vec::new();
        jpeg_encoder::Encoder::new(&mut out, JPEG_QUALITY).encode(
            &colours,
            self.width,
            self.height,
            JpegColour::Rgb,
        )?;
        Ok(out)
    }
}

// === impl Canvas ===

impl Canvas {
    /// Writes a line of ASCII, centred, with a shadow. What does not fit is not drawn.
    fn write(&mut self, line: &str, top: usize, scale: usize) {
        let left = self.width.saturating_sub(line.len() * GLYPH * scale) / 2;
        let shift = (scale / 4).max(1);
        for (ink, dx, dy) in [(SHADOW, shift, shift), (INK, 0, 0)] {
            let mut x = left + dx;
            for glyph in line.chars().filter_map(|c| font8x8::BASIC_FONTS.get(c)) {
                self.glyph(glyph, (x, top + dy), scale, ink);
                x += GLYPH * scale;
            }
        }
    }

    /// Draws the set dots of a glyph, each a square of `scale` pixels.
    fn glyph(&mut self, rows: [u8; GLYPH], (left, top): (usize, usize), scale: usize, ink: u8) {
        for y in 0..GLYPH * scale {
            let Some(bits) = rows.get(y / scale).copied().filter(|bits| *bits != 0) else {
                continue;
            };
            for x in (0..GLYPH * scale).filter(|x| bits >> (x / scale) & 1 == 1) {
                self.set(left + x, top + y, ink);
            }
        }
    }

    /// Whether a pixel is in the oval that touches all four sides.
    fn is_within(&self, place: usize) -> bool {
        let (x, y) = (place % self.width.max(1), place / self.width.max(1));
        let across = (2 * x + 1).abs_diff(self.width) * self.height;
        let down = (2 * y + 1).abs_diff(self.height) * self.width;
        across * across + down * down <= (self.width * self.height).pow(2)
    }

    fn set(&mut self, x: usize, y: usize, ink: u8) {
        if x >= self.width || y >= self.height {
            return;
        }
        if let Some(pixel) = self.pixels.get_mut(y * self.width + x) {
            *pixel = ink;
        }
    }
}

/// From one colour of the seed to another, then dark and white.
fn palette(seed: i64) -> Vec<[u8; 3]> {
    let hash = crc32fast::hash(&seed.to_be_bytes()).to_be_bytes();
    let [r, g, b, turn] = hash.map(|byte| byte / 2);
    let from = [r, g, b].map(|part| part.saturating_add(90));
    let to = [b, r, turn].map(|part| part.saturating_add(30));
    let blend = |shade: u8, from: u8, to: u8| {
        let (shade, all) = (u32::from(shade), u32::from(SHADES));
        let mixed = (u32::from(from) * (all - shade) + u32::from(to) * shade) / all;
        u8::try_from(mixed).unwrap_or(u8::MAX)
    };
    let shade = |n: u8| {
        let [r, g, b] = from;
        let [x, y, z] = to;
        [blend(n, r, x), blend(n, g, y), blend(n, b, z)]
    };
    let shades = (0..=SHADES).map(shade);
    shades.chain([[24, 24, 32], [255, 255, 255]]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(width: u16, height: u16, seed: i64) -> Picture {
        Picture {
            width,
            height,
            seed,
            lines: vec!["SANDBOX".to_owned(), format!("{width}x{height}")],
        }
    }

    /// Decodes to RGB.
    fn decode(bytes: &[u8]) -> (png::OutputInfo, Vec<u8>) {
        let mut decoder = png::Decoder::new(std::io::Cursor::new(bytes));
        decoder.set_transformations(png::Transformations::EXPAND);
        let mut reader = decoder.read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        (info, pixels)
    }

    #[test]
    fn a_png_of_any_size_decodes_with_its_mark_in_it() {
        for (width, height) in [
            (64, 64),
            (1_024, 1_024),
            (65, 1_000),
            (2_048, 2_048),
            (1, 1),
        ] {
            let bytes = picture(width, height, 7).encode(Format::Png).unwrap();
            let (info, pixels) = decode(&bytes);
            assert_eq!((info.width, info.height), (width.into(), height.into()));
            assert_eq!(info.color_type, png::ColorType::Rgb);
            let white = pixels
                .chunks(3)
                .filter(|rgb| *rgb == [255, 255, 255])
                .count();
            // The letters of the mark have more dots than this at the smallest scale.
            assert!(width < 64 || white > 150, "{width}x{height}: {white}");
            assert!(bytes.len() < 400_000, "{width}x{height}: {}", bytes.len());
        }
    }

    #[test]
    fn a_jpeg_carries_its_size() {
        let bytes = picture(320, 200, 7).encode(Format::Jpeg).unwrap();
        assert!(bytes.starts_with(&[0xFF, 0xD8, 0xFF]) && bytes.ends_with(&[0xFF, 0xD9]));
        let frame = bytes
            .windows(2)
            .position(|mark| mark == [0xFF, 0xC0])
            .unwrap();
        assert_eq!(bytes[frame + 5..frame + 9], [0, 200, 1, 64]);
    }

    #[test]
    fn a_cut_out_has_nothing_around_it() {
        for (width, height) in [(64, 64), (300, 200), (1, 1)] {
            let bytes = picture(width, height, 7).cut_out().unwrap();
            let (info, pixels) = decode(&bytes);
            assert_eq!((info.width, info.height), (width.into(), height.into()));
            assert_eq!(info.color_type, png::ColorType::Rgba);
            let alpha: Vec<u8> = pixels.chunks(4).map(|rgba| rgba[3]).collect();
            let middle = usize::from(height / 2 * width + width / 2);
            assert_eq!(alpha[middle], u8::MAX, "{width}x{height}");
            let is_cut = alpha.first() == Some(&0) && alpha.last() == Some(&0);
            assert!(is_cut || width == 1, "{width}x{height}");
        }
    }

    #[test]
    fn the_seed_chooses_the_picture() {
        let encode = |seed| picture(64, 64, seed).encode(Format::Png).unwrap();
        assert_eq!(encode(1), encode(1));
        assert_ne!(encode(1), encode(2));
    }
}
