//! Numbers as people read them.

/// `10,745,088`.
pub(super) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `809`, `10.7 M`, `1.54 G`: three digits and the SI prefix.
pub(super) fn short(number: f64) -> String {
    const PREFIXES: [&str; 5] = ["", " k", " M", " G", " T"];
    let mut scaled = number;
    let mut prefix = 0;
    // 999.5 rounds to 1000, which is the next prefix's 1.
    while scaled.abs() >= 999.5 && prefix + 1 < PREFIXES.len() {
        scaled /= 1000.0;
        prefix += 1;
    }
    let digits = match scaled.abs() {
        size if prefix == 0 && size.fract() == 0.0 => 0,
        size if size < 9.995 => 2,
        size if size < 99.95 => 1,
        _ => 0,
    };
    format!("{scaled:.digits$}{}", PREFIXES[prefix])
}

/// `0.8 s`, `2 min 31 s`, `3 h 05 min`.
pub(super) fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..10 => format!("{seconds:.1} s"),
        10..60 => format!("{whole} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
    }
}

/// A number of unknown size with about four digits: `1.880`, `0.00100`, `62,237`, `1.2e-7`.
pub(super) fn plain(number: f64) -> String {
    match number.abs() {
        0.0 => "0".to_string(),
        size if !(1e-4..1e7).contains(&size) => scientific(number, 3),
        size if size < 0.1 => trim(&format!("{number:.6}")),
        size if size < 10.0 => format!("{number:.3}"),
        size if size < 1000.0 => format!("{number:.1}"),
        size => format!("{}{}", if number < 0.0 { "−" } else { "" }, thousands(size.round() as u64)),
    }
}

/// `1e-4`, `2.5e-4`: at most `digits` digits.
pub(super) fn scientific(number: f64, digits: usize) -> String {
    let text = format!("{number:.*e}", digits.saturating_sub(1));
    match text.split_once('e') {
        Some((mantissa, exponent)) => format!("{}e{exponent}", trim(mantissa)),
        None => text,
    }
}

/// Without the zeros at the end of a fraction.
pub(super) fn trim(digits: &str) -> String {
    if digits.contains('.') {
        digits.trim_end_matches('0').trim_end_matches('.').to_string()
    } else {
        digits.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!([0, 999, 1000, 10_745_088].map(thousands), ["0", "999", "1,000", "10,745,088"]);
        assert_eq!(thousands(u64::MAX), "18,446,744,073,709,551,615");
    }

    #[test]
    fn short_numbers_have_three_digits_and_a_prefix() {
        for (number, text) in [
            (0.0, "0"),
            (809.0, "809"),
            (999.5, "1.00 k"),
            (1234.0, "1.23 k"),
            (804_096.0, "804 k"),
            (999_600.0, "1.00 M"),
            (10_745_088.0, "10.7 M"),
            (1.536e9, "1.54 G"),
            (1e18, "1000000 T"),
            (2.5, "2.50"),
        ] {
            assert_eq!(short(number), text);
        }
    }

    #[test]
    fn durations_use_the_two_largest_units() {
        for (seconds, text) in [
            (0.84, "0.8 s"),
            (9.96, "10 s"),
            (59.4, "59 s"),
            (59.5, "1 min 00 s"),
            (151.0, "2 min 31 s"),
            (11_100.0, "3 h 05 min"),
        ] {
            assert_eq!(duration(seconds), text);
        }
    }

    #[test]
    fn plain_numbers_keep_about_four_digits() {
        for (number, text) in [
            (0.0, "0"),
            (1.88, "1.880"),
            (0.001, "0.001"),
            (0.00025, "0.00025"),
            (1.2e-7, "1.2e-7"),
            (62237.4, "62,237"),
            (-1234.5, "−1,235"),
            (123.45, "123.5"),
            (1e9, "1e9"),
        ] {
            assert_eq!(plain(number), text);
        }
    }
}
