//! Characters that are not seen, or have others seen elsewhere than they are.
//!
//! Source: the Unicode Character Database, by the properties General_Category and Default_Ignorable_Code_Point (UAX 44).

use icu_properties::props::{DefaultIgnorableCodePoint, GeneralCategory, GeneralCategoryGroup};
use icu_properties::{CodePointMapData, CodePointSetData};

/// Whether a terminal shows nothing for it, obeys it, or writes what stands beside it in another order: controls, marks of
/// direction, joiners, fillers, separators of lines.
#[must_use]
pub fn is_hidden(character: char) -> bool {
    is_ignorable(character)
        || matches!(
            category(character),
            GeneralCategory::Control
                | GeneralCategory::Format
                | GeneralCategory::LineSeparator
                | GeneralCategory::ParagraphSeparator
        )
        // A braille sign without a dot.
        || character == '\u{2800}'
}

/// Whether it is written over, under or around the letter before it.
#[must_use]
pub fn is_mark(character: char) -> bool {
    GeneralCategoryGroup::Mark.contains(category(character))
}

/// Whether some file systems act as if it were not there.
pub(crate) fn is_ignorable(character: char) -> bool {
    CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(character)
}

fn category(character: char) -> GeneralCategory {
    CodePointMapData::<GeneralCategory>::new().get(character)
}
