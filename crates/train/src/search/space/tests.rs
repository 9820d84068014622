use super::*;

fn parse(text: &str) -> Result<SearchSpace, String> {
    SearchSpace::parse(text, Path::new("s.toml")).map_err(|error| error.to_string())
}

const WHOLE: &str = "data = \"a.txt\"\nlearning_rate = { min = 1e-4, max = 1e-2, log = true, points = 3 }\nbias = [true, false]\n\
                     n_embd = { min = 32, max = 128, step = 32 }\noptimizer = ['adamw', 'sgd']\ndropout = [0, 0.5]\nn_head = 4\n";

#[test]
fn a_configuration_with_lists_and_ranges_is_a_space() {
    let space = parse(WHOLE).unwrap();
    let names: Vec<&str> = space.space().parameters().iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["learning_rate", "bias", "n_embd", "optimizer", "dropout"]);
    assert_eq!((space.base().data.as_str(), space.base().n_head), ("a.txt", 4));
    let points = space.space().grid().unwrap();
    let point: Vec<Value> = points.iter().map(|values| values[1].clone()).collect();
    let config = space.config(&point, None).unwrap();
    assert!((config.learning_rate / 1e-3 - 1.0).abs() < 1e-12);
    assert_eq!(
        (config.bias, config.n_embd, config.optimizer.word(), config.dropout),
        (false, 64, "sgd", 0.5)
    );
    assert_eq!(config.data, "a.txt");
    // What a study keeps of it is the same space.
    assert_eq!(parse(&space.to_toml()), Ok(space));
}

#[test]
fn what_is_no_space_is_refused_by_line() {
    for (text, message) in [
        ("", "s.toml, line 1: the space is empty: give at least one setting a list or a range"),
        (
            "seed = 1\nn_layer = 2\n",
            "s.toml, line 1: the space is empty: give at least one setting a list or a range",
        ),
        (
            "seed = 1\nn_layers = [1, 2]\n",
            "s.toml, line 2: unknown setting `n_layers`; did you mean `n_layer`?",
        ),
        ("quantum = 3\nseed = [1]", "s.toml, line 1: unknown setting `quantum`; `--help` lists them all"),
        (
            "\nlearning_rate = { min = 1.0, max = 0.1 }",
            "s.toml, line 2: learning_rate: the range goes from 1 to 0.1: min must be below max",
        ),
        ("n_layer = { min = 1 }", "s.toml, line 1: n_layer: a range needs min and max; max is missing"),
        (
            "n_layer = { min = 0.5, max = 2 }",
            "line 1: n_layer: min: expected a whole number, zero or more, got `0.5`",
        ),
        (
            "n_layer = { low = 1, high = 2 }",
            "line 1: n_layer: a range has no `high`; it takes min, max, log, step, points",
        ),
        ("dropout = { min = 0, max = 1, step = 1 }", "line 1: dropout: step is for whole numbers"),
        ("dropout = { min = 0, max = 1, log = 1 }", "line 1: dropout: log: expected true or false, got `1`"),
        (
            "dropout = { min = 0, max = 1, log = true }",
            "line 1: dropout: a logarithmic range must begin above 0",
        ),
        ("bias = { min = 0, max = 1 }", "line 1: bias takes true or false: name the values in a list"),
        ("n_layer = []", "s.toml, line 1: n_layer: the list is empty"),
        ("n_layer = [1, 1]", "s.toml, line 1: n_layer: 1 stands in the list twice"),
        ("n_layer = [1, -1]", "s.toml, line 1: n_layer: expected a whole number, zero or more, got `-1`"),
        ("optimizer = [\"adam\"]", "s.toml, line 1: optimizer: expected one of adamw, sgd, got `adam`"),
        ("[model]\nn_layer = 1", "s.toml, line 1: unknown setting `model`"),
        ("backend = [1]", "s.toml, line 1: backend has no effect here, and cannot be searched"),
        ("tokenizer = [\"char\", \"byte\"]", "line 1: tokenizer cannot be searched: losses per token"),
        (
            "max_iters = [1, 2]",
            "line 1: max_iters cannot be searched: it is the budget, which all trials share",
        ),
        (
            "n_layer = [1]\neval_only = true",
            "line 2: eval_only cannot be set for a search: a trial has to train",
        ),
        ("n_layer = [1]\ninit_from = \"resume\"", "line 2: init_from cannot be set for a search"),
        ("n_layer = = 1", "s.toml, line 1: "),
    ] {
        let found = parse(text).expect_err(text);
        assert!(found.contains(message), "{found}");
    }
}

#[test]
fn tokens_are_the_same_budget_for_batches_of_any_size() {
    let text = "batch_size = [4, 8]\nblock_size = 16\nmax_iters = 100\nwarmup_iters = 10\nlr_decay_iters = 100\neval_interval = 25\n";
    let space = parse(text).unwrap();
    assert_eq!(space.sizes(), ["batch_size"]);
    let counts = |size: u64| {
        let config = space.config(&[Value::Whole(size)], Some(3200)).unwrap();
        assert_eq!(config.tokens_per_step() * config.max_iters as u64, 3200);
        [config.max_iters, config.warmup_iters, config.lr_decay_iters, config.eval_interval]
    };
    assert_eq!((counts(4), counts(8)), ([50, 5, 50, 12], [25, 2, 25, 6]));
    // A count that is searched is what it says.
    let space =
        parse(&format!("{}warmup_iters = [3, 4]\n", text.replace("warmup_iters = 10\n", ""))).unwrap();
    let config = space.config(&[Value::Whole(4), Value::Whole(3)], Some(3200)).unwrap();
    assert_eq!((config.warmup_iters, config.lr_decay_iters), (3, 50));
}
