//! The images of a prompt, and as how many tokens a model reads them by the formula that its maker publishes. A formula bounds
//! what a provider may bill for an image: the relayer decodes none.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

/// Characters of base64 in which most formats have their size, and those that a JPEG may need.
const HEADS: [usize; 2] = [256, 88 << 10];
const NO_URL: &str = "needs the image's URL, which may be `data:image/…;base64,…`";
/// Side of a patch in pixels, and most patches of an image.
const PATCH: u64 = 32;
const MOST_PATCHES: u64 = 1_536;
/// Tiles of the largest image: 768 by 2,048 pixels in tiles of 512.
const MOST_TILES: u64 = 8;

/// An image of a prompt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// Width and height in pixels, if the prompt holds the image and says so.
    pub size: Option<(u32, u32)>,
    /// Whether the model is to look at it roughly.
    pub low: bool,
}

/// How a model's maker counts an image.
#[derive(Clone, Copy, Debug)]
enum Formula {
    /// A base, and so many tokens a tile of 512 pixels; of an image within 2,048 by 2,048 whose shorter side is 768 at most.
    Tiles { base: u64, tile: u64 },
    /// So many thousandths of a token a patch.
    Patches { thousandths: u64 },
    /// A token for 750 pixels, of an image whose longer side and tokens are bounded.
    Area { side: u32, most: u64 },
}

use Formula::{Area, Patches, Tiles};

/// The formulas by the beginnings of names, longer ones first (OpenAI's "Images and vision", Anthropic's "Vision").
const FORMULAS: [(&str, Formula); 17] = [
    ("gpt-4o-mini", Tiles { base: 2_833, tile: 5_667 }),
    ("gpt-4.1-mini", Patches { thousandths: 1_620 }),
    ("gpt-4.1-nano", Patches { thousandths: 2_460 }),
    ("gpt-5-mini", Patches { thousandths: 1_620 }),
    ("gpt-5-nano", Patches { thousandths: 2_460 }),
    ("o4-mini", Patches { thousandths: 1_720 }),
    ("gpt-4o", Tiles { base: 85, tile: 170 }),
    ("gpt-4.1", Tiles { base: 85, tile: 170 }),
    ("gpt-4.5", Tiles { base: 85, tile: 170 }),
    ("gpt-4-turbo", Tiles { base: 85, tile: 170 }),
    ("gpt-5", Tiles { base: 70, tile: 140 }),
    ("o1", Tiles { base: 75, tile: 150 }),
    ("o3", Tiles { base: 75, tile: 150 }),
    ("computer-use-preview", Tiles { base: 65, tile: 129 }),
    ("claude-opus-4-7", Area { side: 2_576, most: 4_784 }),
    ("claude-opus-4-8", Area { side: 2_576, most: 4_784 }),
    ("claude", Area { side: 1_568, most: 1_640 }),
];

impl Image {
    /// The image at `url`, which may hold it; `detail` is how closely the model is to look.
    ///
    /// # Errors
    /// It is no URL, or holds no image: as a clause after a part's path.
    pub fn at(url: &str, detail: Option<&str>) -> Result<Self, &'static str> {
        let low = detail == Some("low");
        let Some(inline) = url.strip_prefix("data:") else {
            let is_url = url.split_once("://").is_some_and(|(scheme, rest)| !scheme.is_empty() && !rest.is_empty());
            return if is_url { Ok(Self { size: None, low }) } else { Err(NO_URL) };
        };
        match inline.split_once(";base64,") {
            // It is a text, and has no size of its own.
            Some((kind, data)) if kind.starts_with("image/svg") && !data.is_empty() => Ok(Self { size: None, low }),
            Some((kind, data)) if kind.starts_with("image/") => Ok(Self { low, ..Self::of(data)? }),
            _ => Err(NO_URL),
        }
    }

    /// The image that base64 holds.
    ///
    /// # Errors
    /// It holds none: as a clause after a part's path.
    pub fn of(data: &str) -> Result<Self, &'static str> {
        let head = data.get(..HEADS[0].min(data.len()) / 4 * 4).and_then(|head| BASE64.decode(head).ok());
        if head.is_none_or(|head| imagesize::image_type(&head).is_err()) {
            return Err("has base64 that holds no image");
        }
        let size = HEADS.into_iter().find_map(|length| {
            let head = data.get(..length.min(data.len()) / 4 * 4)?;
            let size = imagesize::blob_size(&BASE64.decode(head).ok()?).ok()?;
            Some((u32::try_from(size.width).ok()?, u32::try_from(size.height).ok()?))
        });
        Ok(Self { size, low: false })
    }

    /// Upper bound of the tokens that `model` counts for it, if its maker's formula is known.
    pub fn tokens(self, model: &str) -> Option<u64> {
        let name = model.rsplit('/').next().unwrap_or(model).to_ascii_lowercase();
        let is = |beginning: &str| {
            name.strip_prefix(beginning).is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', ':', '@']))
        };
        let (_, formula) = FORMULAS.iter().find(|(beginning, _)| is(beginning))?;
        Some(match *formula {
            Tiles { base, .. } if self.low => base,
            Tiles { base, tile } => base + tile * self.size.map_or(MOST_TILES, tiles),
            Patches { thousandths } => (self.size.map_or(MOST_PATCHES, patches) * thousandths).div_ceil(1_000),
            Area { side, most } => self.size.map_or(most, |size| area(size, side).min(most)),
        })
    }
}

/// Width and height, made smaller so that `side` is no longer than `most`.
fn fitted((width, height): (f64, f64), side: f64, most: f64) -> (f64, f64) {
    let part = (most / side).min(1.0);
    (width * part, height * part)
}

fn tiles((width, height): (u32, u32)) -> u64 {
    let (width, height) = (f64::from(width), f64::from(height));
    let (width, height) = fitted((width, height), width.max(height), 2_048.0);
    let (width, height) = fitted((width, height), width.min(height), 768.0);
    let along = |side: f64| (side.round() / 512.0).ceil().max(1.0) as u64;
    along(width) * along(height)
}

fn patches((width, height): (u32, u32)) -> u64 {
    let along = |side: u32| u64::from(side).div_ceil(PATCH).max(1);
    (along(width) * along(height)).min(MOST_PATCHES)
}

fn area((width, height): (u32, u32), side: u32) -> u64 {
    let (width, height) = (f64::from(width), f64::from(height));
    let (width, height) = fitted((width, height), width.max(height), side.into());
    (width * height / 750.0).ceil() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The head of a PNG of this size.
    fn png(width: u32, height: u32) -> String {
        let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".to_vec();
        bytes.extend([width.to_be_bytes(), height.to_be_bytes()].concat());
        bytes.extend([8, 2, 0, 0, 0].repeat(20));
        BASE64.encode(bytes)
    }

    #[test]
    fn an_image_has_the_tokens_of_its_models_published_formula() {
        let sized = |width, height| Image { size: Some((width, height)), low: false };
        for (model, image, tokens) in [
            ("gpt-4o-mini", sized(1_024, 1_024), Some(25_501)),
            ("OpenAI/GPT-4o-mini-2024-07-18", sized(1_024, 1_024), Some(25_501)),
            ("gpt-4o-mini", Image::default(), Some(2_833 + 8 * 5_667)),
            ("gpt-4o", sized(1_024, 1_024), Some(765)),
            ("gpt-4o", sized(2_048, 4_096), Some(1_105)),
            ("gpt-4o", sized(100, 100), Some(255)),
            ("gpt-4o", Image { low: true, ..sized(2_048, 4_096) }, Some(85)),
            ("gpt-4.1", sized(1_024, 1_024), Some(765)),
            ("gpt-4.1-mini", sized(1_024, 1_024), Some(1_659)),
            ("gpt-4.1-nano", sized(4_000, 4_000), Some(3_779)),
            ("o4-mini", Image::default(), Some(2_642)),
            ("o1", sized(512, 512), Some(225)),
            ("claude-sonnet-4-5", sized(1_092, 1_092), Some(1_590)),
            ("claude-sonnet-4-5", sized(8_000, 8_000), Some(1_640)),
            ("anthropic/claude-opus-4-7", sized(8_000, 8_000), Some(4_784)),
            ("gpt-5.9", sized(10, 10), None),
            ("gpt-4omega", sized(10, 10), None),
            ("llama", Image::default(), None),
        ] {
            assert_eq!(image.tokens(model), tokens, "{model} {image:?}");
        }
    }

    #[test]
    fn the_size_is_read_where_the_prompt_holds_the_image() {
        let data = png(1_024, 768);
        assert_eq!(Image::of(&data).unwrap().size, Some((1_024, 768)));
        let url = format!("data:image/png;base64,{data}");
        assert_eq!(Image::at(&url, Some("low")), Ok(Image { size: Some((1_024, 768)), low: true }));
        for elsewhere in ["https://example.com/a.png", "data:image/svg+xml;base64,PHN2Zz4="] {
            assert_eq!(Image::at(elsewhere, None), Ok(Image::default()), "{elsewhere}");
        }
        // A JPEG says it after what else it holds.
        let mut jpeg = b"\xff\xd8\xff\xe1\x20\x02".to_vec();
        jpeg.resize(6 + 0x2000, 0);
        jpeg.extend(b"\xff\xc0\0\x11\x08\x03\0\x04\0\x03\x01\x11\0\x02\x11\x01\x03\x11\x01\xff\xd9");
        assert_eq!(Image::of(&BASE64.encode(jpeg)).unwrap().size, Some((1_024, 768)));
    }

    #[test]
    fn what_is_no_image_is_none() {
        let text = BASE64.encode("These are words, and no picture of them.");
        let page = format!("data:text/html;base64,{}", png(8, 8));
        let (words, cut) = (format!("data:image/png;base64,{text}"), &png(8, 8)[..7]);
        let others =
            ["", "a.png", "https://", "data:image/png,abc", "data:image/png;base64,", "data:image/png;base64,!!!!"];
        for url in others.into_iter().chain([page.as_str(), words.as_str()]) {
            assert!(Image::at(url, None).is_err(), "{url}");
        }
        for data in ["", "!!!!", &text, cut] {
            assert!(Image::of(data).is_err(), "{data}");
        }
    }
}
