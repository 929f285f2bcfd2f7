//! A line through figures that were taken one after the other, and whether it rises: by Theil and Sen the slope, by
//! Mann and Kendall the verdict. A few wild figures change neither.

/// Fewer figures tell nothing.
pub(super) const LEAST_POINTS: usize = 5;

/// A straight line through the marks of a series, warm-up left out.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Fit {
    /// The median slope over all pairs of marks: outliers do not move it.
    pub per_mark: f64,
    /// Whether that is growth. The later of two marks is the higher one in three quarters of all pairs, or more; so
    /// often as chance makes it in one of forty series at most; and the later half of the marks rises too, so that
    /// what fills up once, as caches do, is none. What wanders without an aim can still pass for growth.
    pub grows: bool,
}

impl Fit {
    /// By Theil and Sen the slope, by Mann and Kendall the verdict. `points` are few, and in order.
    pub(super) fn of(points: &[(f64, f64)]) -> Self {
        let mut slopes = slopes(points);
        let n_pairs = real_len(slopes.len());
        let n_up = real_len(slopes.iter().filter(|slope| **slope > 0.0).count());
        let n_down = real_len(slopes.iter().filter(|slope| **slope < 0.0).count());
        let per_mark = median(&mut slopes);
        let later = &points[points.len() / 2..];
        let excess = n_up - n_down;
        let n = real_len(points.len());
        // What chance makes of the excess; equal pairs make it less.
        let deviation = (n * (n - 1.0) * (2.0 * n + 5.0) / 18.0).sqrt();
        let is_no_chance = excess - 1.0 >= 2.0 * deviation;
        let goes_on = median(&mut self::slopes(later)) > 0.0;
        let grows = points.len() >= LEAST_POINTS
            && per_mark > 0.0
            && excess >= n_pairs / 2.0
            && is_no_chance
            && goes_on;
        Self { per_mark, grows }
    }
}

fn slopes(points: &[(f64, f64)]) -> Vec<f64> {
    let mut slopes = Vec::with_capacity(points.len() * points.len() / 2);
    for (at, (x, y)) in points.iter().enumerate() {
        slopes.extend(points[at + 1..].iter().map(|(later_x, later_y)| (later_y - y) / (later_x - x)));
    }
    slopes
}

fn median(values: &mut [f64]) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    let (at, is_even) = (values.len() / 2, values.len().is_multiple_of(2));
    let (lower, middle, _) = values.select_nth_unstable_by(at, f64::total_cmp);
    let middle = *middle;
    if is_even { (lower.iter().copied().fold(f64::MIN, f64::max) + middle) / 2.0 } else { middle }
}

#[expect(clippy::cast_precision_loss, reason = "a slope is for people")]
pub(super) fn real(n: u64) -> f64 {
    n as f64
}

#[expect(clippy::cast_precision_loss, reason = "there are few points")]
fn real_len(n: usize) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fit(figures: impl IntoIterator<Item = f64>) -> Fit {
        Fit::of(&(0..).map(real).zip(figures).collect::<Vec<_>>())
    }

    #[test]
    fn a_leak_of_the_same_size_each_time_is_its_slope() {
        let line = fit((0..20).map(|at| 1e6 + 4096.0 * real(at)));
        assert_eq!(line, Fit { per_mark: 4096.0, grows: true });
    }

    #[test]
    fn a_leak_now_and_then_grows() {
        assert!(fit((0..100).map(|at| real(at / 10) * 4096.0)).grows);
        assert!(fit((0..12).map(|at| real(at / 2))).grows);
        // It begins half way.
        assert!(fit((0..100_u64).map(|at| real(at.saturating_sub(50)))).grows);
    }

    #[test]
    fn what_fills_up_comes_and_goes_or_shrinks_does_not_grow() {
        let n = 60_u64;
        let fills = fit((0..n).map(|at| real(at.min(25))));
        let steps_once = fit((0..n).map(|at| real(u64::from(at > 20)) * 1e6));
        let alternates = fit((0..n).map(|at| real(at % 2) * 1e6));
        let saw = fit((0..n).map(|at| real(at % 10) * 1e6));
        let shrinks = fit((0..n).map(|at| 1e6 - real(at)));
        let outlier = fit((0..n).map(|at| real(u64::from(at == n - 1)) * 1e9));
        let same = fit((0..n).map(|_| 5.0));
        for steady in [fills, steps_once, alternates, saw, shrinks, outlier, same] {
            assert!(!steady.grows, "{steady:?}");
        }
        assert_eq!([outlier.per_mark, same.per_mark], [0.0, 0.0]);
    }

    #[test]
    fn few_marks_have_to_be_clear() {
        assert!(!fit([1.0, 2.0, 3.0, 4.0]).grows);
        assert!(fit([1.0, 2.0, 3.0, 4.0, 5.0]).grows);
        assert!(!fit([1.0, 2.0, 3.0, 5.0, 4.0]).grows);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn noise_hides_no_growth(slope in 1.0..1e6_f64, noise in prop::collection::vec(-1.0..1.0_f64, 40..120)) {
            // Up to five times what one mark adds, and one outlier.
            let figures = (0..).map(real).zip(&noise).map(|(x, noise)| 1e9 + slope * (x + 5.0 * noise));
            let mut figures: Vec<f64> = figures.collect();
            figures[20] = 1e12;
            let line = fit(figures);
            prop_assert!(line.grows, "{:?}", line);
            prop_assert!((line.per_mark / slope - 1.0).abs() < 0.35, "{} of {}", line.per_mark, slope);
        }

        #[test]
        fn noise_alone_is_no_growth(noise in prop::collection::vec(0.0..1e9_f64, 30..200)) {
            prop_assert!(!fit(noise).grows);
        }

        #[test]
        fn a_level_that_was_reached_before_the_half_is_no_growth(
            rise in prop::collection::vec(0.0..1e9_f64, 0..20), level in 1e9..2e9_f64, n in 21..60_usize,
        ) {
            let n_rising = rise.len();
            let flat = std::iter::repeat_n(level, n.max(n_rising + 2));
            prop_assert!(!fit(rise.into_iter().chain(flat)).grows);
        }
    }
}
