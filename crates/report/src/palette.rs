//! The colours of all pictures: few, and safe for colour-blind eyes.

use plotters::style::RGBColor;

/// What a colour is for. In a file of its own a picture has the light colours; inside the page each becomes the
/// page's own, dark or light.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ink {
    /// Titles and values.
    Text,
    /// Labels.
    Muted,
    /// Grid and borders.
    Grid,
    /// Behind everything.
    Surface,
    /// Behind a plot.
    Panel,
    /// Lines of measured values, marks.
    Accent,
    /// Trouble: resets, retransmits.
    Bad,
    /// The worst moment, stalls.
    Worst,
    /// What is allowed.
    Good,
    /// Worth a look: shares of errors, blocks acknowledged out of order.
    Warn,
}

impl Ink {
    /// All.
    pub(crate) const ALL: [Ink; 10] = [
        Ink::Text,
        Ink::Muted,
        Ink::Grid,
        Ink::Surface,
        Ink::Panel,
        Ink::Accent,
        Ink::Bad,
        Ink::Worst,
        Ink::Good,
        Ink::Warn,
    ];

    /// The light colour.
    pub(crate) const fn rgb(self) -> (u8, u8, u8) {
        match self {
            Ink::Text => (0x1b, 0x1f, 0x27),
            Ink::Muted => (0x5b, 0x64, 0x72),
            Ink::Grid => (0xd9, 0xdd, 0xe3),
            Ink::Surface => (0xff, 0xff, 0xff),
            Ink::Panel => (0xf5, 0xf6, 0xf8),
            Ink::Accent => (0x0b, 0x62, 0xbd),
            Ink::Bad => (0xb3, 0x26, 0x1e),
            Ink::Worst => (0xfb, 0xe3, 0xd6),
            Ink::Good => (0x1b, 0x6b, 0x40),
            Ink::Warn => (0x7a, 0x52, 0x00),
        }
    }

    /// Name of the page's CSS variable.
    pub(crate) const fn variable(self) -> &'static str {
        match self {
            Ink::Text => "--ink",
            Ink::Muted => "--muted",
            Ink::Grid => "--line",
            Ink::Surface => "--surface",
            Ink::Panel => "--panel",
            Ink::Accent => "--accent",
            Ink::Bad => "--bad",
            Ink::Worst => "--worst",
            Ink::Good => "--good",
            Ink::Warn => "--warn",
        }
    }

    /// For plotters.
    pub(crate) const fn colour(self) -> RGBColor {
        let (r, g, b) = self.rgb();
        RGBColor(r, g, b)
    }
}

/// Steps of the heat scale: viridis, few first (pale on white; the page turns it round on dark).
pub(crate) const HEAT: [(u8, u8, u8); 10] = [
    (0xd8, 0xe2, 0x19),
    (0xad, 0xdc, 0x30),
    (0x75, 0xd0, 0x54),
    (0x45, 0xbf, 0x70),
    (0x25, 0xa8, 0x83),
    (0x21, 0x90, 0x8c),
    (0x2b, 0x74, 0x8e),
    (0x37, 0x58, 0x8c),
    (0x45, 0x37, 0x81),
    (0x45, 0x0f, 0x58),
];

/// The step for a count in a map whose largest is `max`: logarithmic, so that one rare slow event shows beside
/// thousands of fast ones.
pub(crate) fn heat_step(count: u64, max: u64) -> usize {
    if max <= 1 || count == 0 {
        return if count == 0 { 0 } else { HEAT.len() / 2 };
    }
    let at = (count as f64).ln_1p() / (max as f64).ln_1p();
    ((at * HEAT.len() as f64) as usize).min(HEAT.len() - 1)
}

/// As `#RRGGBB`, the way plotters writes it.
pub(crate) fn hex((r, g, b): (u8, u8, u8)) -> String {
    format!("#{r:02X}{g:02X}{b:02X}")
}
