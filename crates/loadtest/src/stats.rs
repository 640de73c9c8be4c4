//! Numbers about numbers.

/// The middle value; the mean of the two in the middle of an even number of values. `None` of nothing.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    Some(f64::midpoint(sorted[middle - 1], upper))
}

/// The least and the greatest value. `None` of nothing.
pub fn range(values: &[f64]) -> Option<[f64; 2]> {
    let least = values.iter().copied().min_by(f64::total_cmp)?;
    let greatest = values.iter().copied().max_by(f64::total_cmp)?;
    Some([least, greatest])
}

/// `part / whole`; `None` where there is no whole.
pub fn ratio(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| part / whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_the_middle_of_the_sorted_values() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[7.0]), Some(7.0));
        assert_eq!(median(&[9.0, 1.0, 5.0]), Some(5.0));
        assert_eq!(median(&[4.0, 1.0, 100.0, 2.0]), Some(3.0));
    }

    #[test]
    fn a_range_is_least_and_greatest() {
        assert_eq!(range(&[]), None);
        assert_eq!(range(&[0.9, 1.1, 0.8]), Some([0.8, 1.1]));
    }

    #[test]
    fn nothing_is_a_share_of_nothing() {
        assert_eq!(ratio(1.0, 0.0), None);
        assert_eq!(ratio(85.0, 100.0), Some(0.85));
    }
}
