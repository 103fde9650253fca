//! The published vectors of Kayenta's own tests: spinnaker/kayenta,
//! kayenta-judge/src/test/scala/com/netflix/kayenta/judge/ClassifierSuite.scala and DetectorSuite.scala.

use super::*;

const TEN_TIMES: [f64; 5] = [20.0, 22.0, 21.0, 25.0, 30.0];
const SMALL: [f64; 5] = [1.0, 2.2, 1.1, 2.5, 3.0];

/// The values of a series, by its name.
fn series(name: &str) -> Vec<f64> {
    let line =
        include_str!("series.txt").lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    line.unwrap().split(' ').map(|value| value.parse().unwrap()).collect()
}

fn suite(direction: Direction) -> Classifier {
    Classifier { tolerance: 0.1, confidence: 0.95, direction, ..Classifier::default() }
}

#[test]
fn pass_high_and_low() {
    for (experiment, control, direction, expected) in [
        ("around nine", "around ten", Direction::Either, Classification::Pass),
        ("twice", "around ten", Direction::Either, Classification::High),
        ("around nine", "around twenty", Direction::Either, Classification::Low),
        ("around nine", "around twenty", Direction::Increase, Classification::Pass),
        ("twice", "around ten", Direction::Decrease, Classification::Pass),
        ("twice", "around ten", Direction::Increase, Classification::High),
        ("around nine", "around twenty", Direction::Decrease, Classification::Low),
    ] {
        assert_eq!(
            suite(direction).classify(&series(experiment), &series(control)),
            expected,
            "{direction:?}"
        );
    }
}

#[test]
fn effect_sizes() {
    let with = |effects| Classifier { effects, ..suite(Direction::Either) };
    assert_eq!(with((0.8, 1.2)).classify(&TEN_TIMES, &SMALL), Classification::High);
    assert_eq!(with((1.0, 5.0)).classify(&TEN_TIMES, &SMALL), Classification::High);
    assert_eq!(with((1.0, 13.0)).classify(&TEN_TIMES, &SMALL), Classification::Pass);
    let half = [10.0, 12.2, 10.1, 12.5, 23.0];
    assert_eq!(with((0.5, 1.0)).classify(&half, &TEN_TIMES), Classification::Pass);
    assert_eq!(
        with((0.8, 1.2)).classify(&series("around nine"), &series("around twenty")),
        Classification::Low
    );
}

#[test]
fn the_common_language_effect() {
    let (experiment, control) = (series("lower"), series("higher"));
    let classifier = Classifier {
        tolerance: 0.2,
        effect: Effect::CommonLanguage,
        effects: (0.2, 0.8),
        ..Classifier::default()
    };
    assert_eq!(classifier.classify(&experiment, &control), Classification::Low);
    let smaller = Classifier { effects: (0.0, 1.0), ..classifier };
    assert_eq!(smaller.classify(&experiment, &control), Classification::Pass);
}

#[test]
fn ties_zeros_and_nothing() {
    let classify =
        |experiment: &[f64], control: &[f64], direction| suite(direction).classify(experiment, control);
    let five = |value: f64| [value; 5];
    let (either, decrease) = (Direction::Either, Direction::Decrease);
    assert_eq!(classify(&[1.0; 3], &[1.0; 2], decrease), Classification::Pass);
    assert_eq!(
        classify(&[1.0, 2.0, 3.0, 4.0, 5.0], &[5.0, 4.0, 3.0, 2.0, 1.0], decrease),
        Classification::Pass
    );
    assert_eq!(classify(&[0.0, 1.0, 1.0, 1.0, 1.0], &five(1.0), decrease), Classification::Pass);
    assert_eq!(classify(&[1.0, 1.0, 1.0, 1.0, 10.0], &five(1.0), either), Classification::Pass);
    assert_eq!(classify(&five(10.0), &five(1.0), either), Classification::High);
    assert_eq!(classify(&five(10.0), &five(0.0), either), Classification::High);
    assert_eq!(classify(&five(0.0), &five(0.0), either), Classification::Pass);
    let fifties = [54.9, 54.5, 55.1, 55.6, 57.4];
    let with = Classifier { effects: (0.8, 1.2), ..suite(either) };
    assert_eq!(with.classify(&fifties, &five(0.0)), Classification::High);
    assert_eq!(with.classify(&five(0.0), &fifties), Classification::Low);
    let small = [
        0.05000000074505806,
        0.05000000074505806,
        0.01666666753590107,
        0.01666666753590107,
        0.01666666753590107,
        0.05000000074505806,
        0.03333333507180214,
        0.05000000260770321,
        0.05000000260770321,
        0.13333333656191826,
    ];
    assert_eq!(classify(&small, &[0.0; 10], either), Classification::High);
    assert_eq!(classify(&[], &[1.0, 2.0, 3.0, 4.0, 5.0], decrease), Classification::NoData);
    let replace = Classifier { nan: NanStrategy::Replace, ..suite(decrease) };
    assert_eq!(replace.classify(&[], &[1.0, 2.0, 3.0, 4.0, 5.0]), Classification::Pass);
}

#[test]
fn outliers() {
    let values = [21.0, 23.0, 24.0, 25.0, 50.0, 29.0, 23.0, 21.0];
    assert_eq!(without_outliers(&values, 1.5, false), [21.0, 23.0, 24.0, 25.0, 29.0, 23.0, 21.0]);
}
