//! QR codes of what two people compare: a fingerprint, or a version byte and two peer ids. Drawn with half blocks for a
//! terminal, or as a PNG picture.

use qrcode::{Color, EcLevel, QrCode};

/// Light modules around a code that its readers need (ISO/IEC 18004 §6.3.8).
const QUIET: usize = 4;
/// Pixels of a module's side.
const PIXELS: usize = 8;

/// Why there is no code.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QrError {
    /// More than about 2 900 bytes.
    #[error("too much for a QR code: {0}")]
    Content(#[from] qrcode::types::QrError),
    /// The picture could not be encoded.
    #[error("the picture could not be made: {0}")]
    Picture(#[from] png::EncodingError),
}

/// A QR code (level M) with its quiet zone.
pub struct Code {
    /// Row by row, true = dark.
    modules: Vec<bool>,
    side: usize,
}

impl Code {
    /// The code of some bytes: text is read back as text, anything else as bytes.
    ///
    /// # Errors
    /// [`QrError::Content`] if they are too many.
    pub fn new(content: &[u8]) -> Result<Self, QrError> {
        let code = QrCode::with_error_correction_level(content, EcLevel::M)?;
        let width = code.width();
        let side = width + 2 * QUIET;
        let mut modules = vec![false; side * side];
        for (n, colour) in code.into_colors().into_iter().enumerate() {
            let at = (n / width + QUIET) * side + n % width + QUIET;
            if let Some(module) = modules.get_mut(at) {
                *module = colour == Color::Dark;
            }
        }
        Ok(Self { modules, side })
    }

    /// Modules of a side, the quiet zone among them: columns on a terminal, which needs half as many rows.
    pub fn side(&self) -> usize {
        self.side
    }

    fn is_dark(&self, x: usize, y: usize) -> bool {
        self.modules.get(y * self.side + x).copied().unwrap_or(false)
    }

    /// Rows of half blocks, each [`Code::side`] columns wide. What is light is drawn, so that it is right in white on
    /// black.
    pub fn half_blocks(&self) -> Vec<String> {
        let cell = |x, y| match (self.is_dark(x, y), self.is_dark(x, y + 1) || y + 1 == self.side) {
            (false, false) => '█',
            (false, true) => '▀',
            (true, false) => '▄',
            (true, true) => ' ',
        };
        (0..self.side).step_by(2).map(|y| (0..self.side).map(|x| cell(x, y)).collect()).collect()
    }

    /// A PNG picture, black on white, of one bit a pixel.
    ///
    /// # Errors
    /// [`QrError::Picture`] if there is no memory for it.
    pub fn png(&self) -> Result<Vec<u8>, QrError> {
        let pixels = self.side * PIXELS;
        let size = u32::try_from(pixels).unwrap_or(u32::MAX);
        let mut picture = Vec::new();
        let mut encoder = png::Encoder::new(&mut picture, size, size);
        encoder.set_color(png::ColorType::Grayscale);
        encoder.set_depth(png::BitDepth::One);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&self.bits(pixels))?;
        writer.finish()?;
        Ok(picture)
    }

    /// The rows of the picture, each a whole number of bytes: 1 = white.
    fn bits(&self, pixels: usize) -> Vec<u8> {
        let is_white = |x: usize, y: usize| x < pixels && !self.is_dark(x / PIXELS, y / PIXELS);
        let byte = |x: usize, y| (0..8).fold(0u8, |bits, n| bits << 1 | u8::from(is_white(x + n, y)));
        (0..pixels).flat_map(|y| (0..pixels).step_by(8).map(move |x| byte(x, y))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(width: usize, height: usize, light: impl Fn(usize, usize) -> bool) -> Vec<u8> {
        let grey = |x, y| if light(x, y) { 255 } else { 0 };
        let mut image = rqrr::PreparedImage::prepare_from_greyscale(width, height, grey);
        let grids = image.detect_grids();
        assert_eq!(grids.len(), 1, "one code is found");
        let mut content = Vec::new();
        grids[0].decode_to(&mut content).unwrap();
        content
    }

    fn contents() -> [Vec<u8>; 3] {
        let two_ids = [&[1][..], &[0; 32], &[0xff; 32]].concat();
        [b"eba97a6bd4a2eaed87c7a2872a8022d3d37b0184ff19c5fe3e9e0d5b9ddb749a".to_vec(), two_ids, b"a".to_vec()]
    }

    #[test]
    fn the_picture_is_read_back() {
        for content in contents() {
            let picture = Code::new(&content).unwrap().png().unwrap();
            let mut reader = png::Decoder::new(std::io::Cursor::new(&picture)).read_info().unwrap();
            let (size, row_bytes) = (reader.info().width as usize, reader.info().raw_row_length() - 1);
            let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
            reader.next_frame(&mut pixels).unwrap();
            let light = |x: usize, y: usize| pixels[y * row_bytes + x / 8] >> (7 - x % 8) & 1 == 1;
            assert_eq!(read(size, size, light), content);
        }
    }

    #[test]
    fn what_a_terminal_shows_is_read_back() {
        for content in contents() {
            let code = Code::new(&content).unwrap();
            let rows: Vec<Vec<char>> = code.half_blocks().iter().map(|row| row.chars().collect()).collect();
            assert!(rows.iter().all(|row| row.len() == code.side()));
            // Each module of a terminal as four by four pixels, as on a screen.
            let light = |x: usize, y: usize| match rows[y / 8][x / 4] {
                '█' => true,
                '▀' => y % 8 < 4,
                '▄' => y % 8 >= 4,
                _ => false,
            };
            assert_eq!(read(4 * code.side(), 8 * rows.len(), light), content);
        }
        assert!(Code::new(&[0; 5000]).is_err());
    }
}
