//! `kernels/toolchain.toml`: which compilers, and what their output may be.

use std::fs;
use std::path::Path;

use super::Failure;

/// The file's sections, each a list of keys with texts.
#[derive(Debug, Default)]
pub struct Pins {
    sections: Vec<(String, Vec<(String, String)>)>,
}

impl Pins {
    /// Reads the part of TOML that the file uses: sections, and keys with texts on one line.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Self::parse(&text).map_err(|line| format!("{}: cannot read `{line}`", path.display()))
    }

    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut pins = Self::default();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                pins.sections.push((name.to_owned(), Vec::new()));
                continue;
            }
            let (key, value) = line.split_once('=').ok_or(line)?;
            let value = value.trim().strip_prefix('"').and_then(|v| v.strip_suffix('"')).ok_or(line)?;
            let (_, entries) = pins.sections.last_mut().ok_or(line)?;
            entries.push((key.trim().to_owned(), value.to_owned()));
        }
        Ok(pins)
    }

    /// The keys and texts of a section, none if it is not there.
    pub fn section(&self, name: &str) -> &[(String, String)] {
        self.sections.iter().find(|(own, _)| own == name).map_or(&[], |(_, entries)| entries)
    }

    /// One text.
    pub fn get(&self, section: &str, key: &str) -> Result<&str, Failure> {
        let found = self.section(section).iter().find(|(own, _)| own == key);
        found.map(|(_, value)| value.as_str()).ok_or(format!("toolchain.toml lacks {key} in [{section}]"))
    }

    /// `package==version` of a section's packages.
    pub fn requirements(&self, section: &str) -> Vec<String> {
        self.section(section).iter().map(|(package, version)| format!("{package}=={version}")).collect()
    }

    /// The architectures of the table of resources, as numbers without `sm_`.
    pub fn architectures(&self) -> Vec<&str> {
        self.get("resources", "architectures").map_or_else(|_| Vec::new(), |list| list.split(' ').collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_keys_and_texts_are_read_and_anything_else_is_named() {
        let pins =
            Pins::parse("# a\n[compile]\nx-y = \"1.2\"\n\n[resources]\narchitectures = \"80 90\"").unwrap();
        assert_eq!(pins.requirements("compile"), ["x-y==1.2"]);
        assert_eq!(pins.architectures(), ["80", "90"]);
        assert!(pins.get("compile", "z").is_err() && pins.section("limits").is_empty());
        assert_eq!(Pins::parse("[a]\nb = 3").unwrap_err(), "b = 3");
        assert_eq!(Pins::parse("b = \"3\"").unwrap_err(), "b = \"3\"");
    }
}
