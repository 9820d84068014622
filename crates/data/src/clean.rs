//! Cleaning: text as it should have been written, and how many documents each step changed.

mod characters;
mod entities;
mod html;

pub use characters::{tidy_space, without_invisible};
pub use html::{is_html, text_of};
use unicode_normalization::UnicodeNormalization;

/// What to do about HTML.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Html {
    /// Take the text of documents that are HTML by [`is_html`].
    #[default]
    Auto,
    /// Take the text of all documents.
    Strip,
    /// Leave it.
    Keep,
}

/// The normal form of Unicode (UAX #15).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// Composed; looks the same.
    #[default]
    Nfc,
    /// Composed, with full-width letters, ligatures and their kin replaced by plain ones. Changes how Chinese punctuation
    /// looks.
    Nfkc,
    /// As it is.
    Keep,
}

/// What to clean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cleaning {
    /// What to do about HTML.
    pub html: Html,
    /// Which normal form.
    pub form: Form,
    /// Whether to leave out characters that nobody sees.
    pub invisible: bool,
    /// Whether to tidy white space.
    pub space: bool,
}

impl Default for Cleaning {
    fn default() -> Self {
        Self { html: Html::Auto, form: Form::Nfc, invisible: true, space: true }
    }
}

/// How many documents each step of [`Cleaning`] changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// Had HTML in them.
    pub html: usize,
    /// Were not in normal form.
    pub form: usize,
    /// Had invisible characters in them.
    pub invisible: usize,
    /// Had untidy white space.
    pub space: usize,
}

impl Cleaning {
    /// The clean text; cleaning it again changes nothing but what references and tags it spelled out ([`Html`]).
    pub fn clean(&self, text: String, changed: &mut Changed) -> String {
        let html = self.html == Html::Strip || self.html == Html::Auto && is_html(&text);
        let text = apply(text, html, &mut changed.html, text_of);
        let form = |text: &str| match self.form {
            Form::Nfc => text.nfc().collect(),
            Form::Nfkc => text.nfkc().collect(),
            Form::Keep => text.to_string(),
        };
        // An invisible character may have stood between two that compose, or behind one that another stands for: so the
        // form is made before and after. That may put another character before one that had been needed there.
        let mut formed = form(&text);
        let (mut is_formed, mut was_invisible) = (formed != text, false);
        let shown =
            |text: &str| Some(without_invisible(text)).filter(|shown| self.invisible && shown != text);
        while let Some(shown) = shown(&formed) {
            formed = form(&shown);
            (is_formed, was_invisible) = (is_formed || formed != shown, true);
        }
        changed.form += usize::from(is_formed);
        changed.invisible += usize::from(was_invisible);
        apply(formed, self.space, &mut changed.space, tidy_space)
    }
}

fn apply(text: String, is_wanted: bool, changed: &mut usize, step: impl FnOnce(&str) -> String) -> String {
    if !is_wanted {
        return text;
    }
    let new = step(&text);
    *changed += usize::from(new != text);
    new
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn clean(text: &str) -> (String, Changed) {
        let mut changed = Changed::default();
        (Cleaning::default().clean(text.into(), &mut changed), changed)
    }

    #[test]
    fn each_step_counts_what_it_changed() {
        let of = |html, form, invisible, space| Changed { html, form, invisible, space };
        for (text, clean_text, changed) in [
            ("plain 文本", "plain 文本", of(0, 0, 0, 0)),
            ("<p>文&nbsp;本</p>", "文 本", of(1, 0, 0, 1)),
            ("cafe\u{301}", "café", of(0, 1, 0, 0)),
            ("\u{F900}", "豈", of(0, 1, 0, 0)),
            ("\u{200B}零宽", "零宽", of(0, 0, 1, 0)),
            ("a \r\nb", "a\nb", of(0, 0, 0, 1)),
        ] {
            assert_eq!(clean(text), (clean_text.to_string(), changed), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_clean_stays_as_it_is(text in "[ \n\u{A0}ae\u{301}\u{200B}\u{200D}\u{212A}中\u{F900}👨ｱﾞ\u{1100}\u{1161}]{0,24}", wide: bool) {
            let form = if wide { Form::Nfkc } else { Form::Nfc };
            let cleaning = Cleaning { html: Html::Keep, form, ..Cleaning::default() };
            let mut changed = Changed::default();
            let once = cleaning.clean(text, &mut changed);
            changed = Changed::default();
            prop_assert_eq!(&cleaning.clean(once.clone(), &mut changed), &once);
            prop_assert_eq!(changed, Changed::default());
        }
    }

    /// Two marks that compose with their letter once it stands beside them: the joiner is then behind the other one.
    #[test]
    fn what_was_needed_is_asked_for_again_when_its_neighbour_is_another() {
        let wide = Cleaning { form: Form::Nfkc, ..Cleaning::default() };
        let mut changed = Changed::default();
        assert_eq!(wide.clean("a\u{200B}\u{301}\u{FF9E}\u{200D}".into(), &mut changed), "á\u{3099}");
        assert_eq!((changed.form, changed.invisible), (1, 1));
    }

    #[test]
    fn steps_can_be_left_out() {
        let none = Cleaning { html: Html::Keep, form: Form::Keep, invisible: false, space: false };
        let text = " <b>e\u{301}\u{200B}</b> ";
        let mut changed = Changed::default();
        assert_eq!(none.clean(text.into(), &mut changed), text);
        assert_eq!(changed, Changed::default());
        let wide = Cleaning { form: Form::Nfkc, ..none };
        assert_eq!(wide.clean("ＧＰＴ，ﬁ".into(), &mut changed), "GPT,fi");
    }
}
