"""What Athena's SQL has and DuckDB's has too, and where the two differ: names, casts, refusals.

https://trino.io/docs/current/functions.html lists the functions of Athena's engine version 3.
"""

import re

import sqlglot
from sqlglot import expressions as exp
from sqlglot.errors import SqlglotError
from sqlglot.tokenizer_core import TokenType


class AthenaError(Exception):
    """A statement failed; the text is the reason that Athena's API gives."""


TRINO_FUNCTIONS = frozenset(
    """
    abs acos all_match any_match any_value approx_distinct approx_most_frequent approx_percentile
    arbitrary array_agg array_distinct array_except array_intersect array_join array_max array_min
    array_position array_remove array_sort array_union arrays_overlap asin at_timezone atan atan2
    avg bit_count bitwise_and bitwise_and_agg bitwise_left_shift bitwise_not bitwise_or
    bitwise_or_agg bitwise_right_shift bitwise_xor bool_and bool_or cardinality cbrt ceil ceiling
    char_length checksum chr coalesce codepoint combinations concat concat_ws contains corr cos cosh
    count count_if covar_pop covar_samp crc32 cume_dist current_date current_time current_timestamp
    date date_add date_diff date_format date_parse date_trunc day day_of_month day_of_week
    day_of_year degrees dense_rank dow doy e element_at every exp extract filter first_value
    flatten floor format format_datetime format_number from_base from_base64 from_hex
    from_iso8601_date from_iso8601_timestamp from_iso8601_timestamp_nanos from_unixtime
    from_unixtime_nanos from_utf8 geometric_mean greatest hamming_distance histogram hour
    human_readable_seconds if index infinity is_finite is_infinite is_json_scalar is_nan
    json_array_contains json_array_get json_array_length json_exists json_extract
    json_extract_scalar json_format json_parse json_query json_size json_value kurtosis lag
    last_day_of_month last_value lead least length levenshtein_distance listagg ln localtime
    localtimestamp log log10 log2 lower lpad ltrim map map_agg map_concat map_entries map_filter
    map_from_entries map_keys map_union map_values max max_by md5 millisecond min min_by minute mod
    month multimap_agg nan ngrams none_match normalize now nth_value ntile nullif parse_data_size
    parse_datetime parse_duration percent_rank pi position pow power quarter radians rand random
    rank reduce reduce_agg regexp_count regexp_extract regexp_extract_all regexp_like
    regexp_position regexp_replace regexp_split regr_intercept regr_slope repeat replace reverse
    round row row_number rpad rtrim second sequence sha1 sha256 sha512 shuffle sign sin sinh
    skewness slice soundex split split_part split_to_map sqrt starts_with stddev stddev_pop
    stddev_samp strpos strrpos substr substring sum tan tanh timezone_hour timezone_minute to_base
    to_base64 to_char to_date to_hex to_iso8601 to_milliseconds to_timestamp to_unixtime to_utf8
    transform translate trim truncate try try_cast typeof unnest upper url_decode url_encode
    url_extract_host url_extract_parameter url_extract_path uuid var_pop var_samp variance week
    week_of_year width_bucket with_timezone word_stem xxhash64 year year_of_week yow zip zip_with
    """.split()  # noqa: SIM905  a list of 230 quoted names is no easier to read
)
# Words before a parenthesis that call nothing.
SYNTAX = frozenset(
    """
    all and any array as between bigint bucket by case cast char cross cube date day decimal default
    distinct double else end except exists fetch filter first following from full group grouping
    having hour in inner insert int integer intersect interval into is join last left like limit
    matched month not null offset on or order outer over partition partitioned preceding range
    right rollup row rows select set sets some string table tblproperties then time
    timestamp truncate union update using values varbinary varchar when where window with within
    year
    bernoulli system tablesample columns lateral escape columns struct map
    """.split()  # noqa: SIM905
)
FOREIGN_WORDS = {
    "ASOF": "ASOF",
    "QUALIFY": "QUALIFY",
    "PIVOT": "PIVOT",
    "UNPIVOT": "UNPIVOT",
    "SEMI": "SEMI JOIN",
    "ANTI": "ANTI JOIN",
    "POSITIONAL": "POSITIONAL JOIN",
    "ILIKE": "ILIKE",
    "GLOB": "GLOB",
    "EXCLUDE": "EXCLUDE",
    "SUMMARIZE": "SUMMARIZE",
    "TOP": "TOP",
}
FOREIGN_TOKENS = {TokenType.DCOLON: "::", TokenType.DSTAR: "**", TokenType.DIV: "//"}
# Trino's own pattern for texts that are times, without the zone's name check.
TIME = (
    r"\s*[+-]?\d{4,}-\d{1,2}-\d{1,2}( \d{1,2}:\d{1,2}(:\d{1,2}(\.\d+)?)?"
    r"( ?[+-]\d{2}:\d{2}| ?[A-Za-z_]+(/[A-Za-z_]+)*)?)?\s*"
)
WHOLE = r"\s*[+-]?\d+\s*"
NUMBER = r"\s*[+-]?((\d+\.?\d*|\.\d+)([eE][+-]?\d+)?[dDfF]?|NaN|Infinity)\s*"
_TEXT = "typeof(x) = 'VARCHAR'"
_FITS = "regexp_full_match(CAST(x AS VARCHAR), '{}')"


def _try_cast(pattern: str, plain: str) -> str:
    return f"CASE WHEN {_TEXT} AND NOT {_FITS.format(pattern)} THEN NULL ELSE {plain} END"


# DuckDB wants an offset right behind the time.
_ZONED = "regexp_replace(CAST(x AS VARCHAR), ' ([+-]\\d{2}:\\d{2})\\s*$', '\\1')"
_DOUBLE = "TRY_CAST(regexp_replace(CAST(x AS VARCHAR), '[dDfF]\\s*$', '') AS DOUBLE)"
TRY_CASTS = {
    "timestamp": _try_cast(TIME, "TRY_CAST(x AS TIMESTAMP)"),
    "timestamptz": _try_cast(TIME, f"TRY_CAST({_ZONED} AS TIMESTAMPTZ)"),
    "bigint": (
        f"CASE WHEN {_TEXT} THEN CASE WHEN {_FITS.format(WHOLE)} THEN TRY_CAST(x AS BIGINT) END "
        "WHEN typeof(x) IN ('DOUBLE', 'FLOAT') THEN "
        "TRY_CAST(round(TRY_CAST(CAST(x AS VARCHAR) AS DOUBLE)) AS BIGINT) "
        "ELSE TRY_CAST(x AS BIGINT) END"
    ),
    "double": (
        f"CASE WHEN {_TEXT} THEN CASE WHEN {_FITS.format(NUMBER)} THEN {_DOUBLE} END "
        "ELSE TRY_CAST(x AS DOUBLE) END"
    ),
}


def _once(body: str) -> str:
    """The body over the macro's argument `a`, called x in it.

    DuckDB puts a macro's argument wherever its body names it, so that five casts within each other
    would be thousands of them.
    """
    return f"list_transform([a], lambda x: {body})[1]"


_REFUSAL = (
    "error('INVALID_CAST_ARGUMENT: Cannot cast '||chr(39)||CAST(x AS VARCHAR)||chr(39)||' to {}')"
)
MACROS = [
    *(f"CREATE MACRO athena_try_{kind}(a) AS {_once(body)}" for kind, body in TRY_CASTS.items()),
    *(
        f"CREATE MACRO athena_{kind}(a) AS "
        + _once(
            f"CASE WHEN x IS NOT NULL AND athena_try_{kind}(x) IS NULL "
            f"THEN {_REFUSAL.format(kind)} ELSE athena_try_{kind}(x) END"
        )
        for kind in TRY_CASTS
    ),
    # Trino prints a timestamp with all digits of its precision.
    "CREATE MACRO athena_varchar(a) AS "
    + _once(
        "CASE typeof(x) WHEN 'TIMESTAMP' THEN strftime(TRY_CAST(CAST(x AS VARCHAR) AS TIMESTAMP), "
        "'%Y-%m-%d %H:%M:%S.%f') "
        "WHEN 'TIMESTAMP_MS' THEN strftime(TRY_CAST(CAST(x AS VARCHAR) AS TIMESTAMP), "
        "'%Y-%m-%d %H:%M:%S.%g') ELSE CAST(x AS VARCHAR) END"
    ),
    "CREATE MACRO athena_regexp_extract(a, p, g) AS "
    + _once("CASE WHEN regexp_matches(x, p) THEN regexp_extract(x, p, g) END"),
    "CREATE MACRO parse_duration(x) AS to_microseconds(CAST(round("
    "CAST(regexp_extract(x, '^[0-9.]+') AS DOUBLE) * CASE regexp_extract(x, '[a-z]+$') "
    "WHEN 'us' THEN 1 WHEN 'ms' THEN 1000 WHEN 's' THEN 1000000 WHEN 'm' THEN 60000000 "
    "WHEN 'h' THEN 3600000000 WHEN 'd' THEN 86400000000 END) AS BIGINT))",
    "CREATE MACRO is_infinite(x) AS isinf(x)",
    "CREATE MACRO is_finite(x) AS isfinite(x)",
    "CREATE MACRO codepoint(x) AS unicode(x)",
    "CREATE MACRO infinity() AS CAST('inf' AS DOUBLE)",
    "CREATE MACRO nan() AS CAST('nan' AS DOUBLE)",
]


def parse_athena(sql: str) -> exp.Expr:
    """The statement's tree.

    Raises:
        AthenaError: If Athena would not take it.
    """
    _refuse_foreign_words(sql)
    try:
        trees = [tree for tree in sqlglot.parse(sql, read="athena") if tree is not None]
    except SqlglotError as error:
        raise AthenaError(f"SYNTAX_ERROR: {str(error).splitlines()[0]}") from error
    if len(trees) != 1:
        raise AthenaError("Only one sql statement is allowed")
    tree = trees[0]
    for select in tree.find_all(exp.Select):
        distinct = select.args.get("distinct")
        if isinstance(distinct, exp.Distinct) and distinct.args.get("on"):
            raise AthenaError("SYNTAX_ERROR: DISTINCT ON is not supported")
    for group in tree.find_all(exp.Group):
        if group.args.get("all"):
            raise AthenaError("SYNTAX_ERROR: GROUP BY ALL is not supported")
    return tree


def _refuse_foreign_words(sql: str) -> None:
    try:
        tokens = sqlglot.tokenize(sql, read="athena")
    except SqlglotError as error:
        raise AthenaError(f"SYNTAX_ERROR: {error}") from error
    is_query = tokens and tokens[0].token_type is not TokenType.HIVE_TOKEN_STREAM
    previous = ""
    for token, following in zip(tokens, [*tokens[1:], None], strict=True):
        if token.token_type in (TokenType.STRING, TokenType.IDENTIFIER):
            previous = ""
            continue
        word = token.text
        if foreign := FOREIGN_TOKENS.get(token.token_type):
            raise AthenaError(f"SYNTAX_ERROR: mismatched input {foreign!r}")
        if is_query and word.upper() in FOREIGN_WORDS and previous != ".":
            raise AthenaError(f"SYNTAX_ERROR: mismatched input {FOREIGN_WORDS[word.upper()]!r}")
        calls = (
            is_query
            and following is not None
            and following.token_type is TokenType.L_PAREN
            and re.fullmatch(r"[A-Za-z_]\w*", word) is not None
            and previous not in (".", "as", "into", ")", "with", "table")
        )
        if calls and word.lower() not in TRINO_FUNCTIONS | SYNTAX:
            raise AthenaError(f"FUNCTION_NOT_FOUND: Function {word.lower()!r} not registered")
        previous = word.lower()


def to_duckdb(tree: exp.Expr) -> str:
    """The statement in DuckDB's SQL, with Athena's meaning where the two differ.

    Raises:
        AthenaError: If this emulator cannot give it Athena's meaning.
    """
    root = tree.copy()
    # Inner ones first: what `transform` puts in, it does not enter.
    for node in reversed(list(root.dfs())):
        translated = _translate(node)
        if node is root:
            root = translated
        elif translated is not node:
            node.replace(translated)
    return root.sql(dialect="duckdb")


def _translate(node: exp.Expr) -> exp.Expr:
    if isinstance(node, exp.Cast):
        return _translate_cast(node)
    if isinstance(node, exp.RegexpReplace):
        form = node.args.get("replacement") or exp.Literal.string("")
        if isinstance(form, exp.Literal):
            form = exp.Literal.string(re.sub(r"\$(\d)", r"\\\1", form.name))
        return _call("regexp_replace", node.this, node.expression, form, exp.Literal.string("g"))
    if isinstance(node, exp.RegexpExtract):
        group = node.args.get("group") or exp.Literal.number(0)
        return _call("athena_regexp_extract", node.this, node.expression, group)
    if isinstance(node, exp.Anonymous) and node.name.lower() == "at_timezone":
        moment, zone = node.expressions
        return exp.AtTimeZone(this=moment, zone=zone)
    if isinstance(node, exp.DateDiff):
        # Trino counts whole units, DuckDB's date_diff counts boundaries.
        unit = exp.Literal.string((node.text("unit") or "day").lower())
        return _call("date_sub", unit, node.expression, node.this)
    return node


def _translate_cast(node: exp.Cast) -> exp.Expr:
    kind = node.to.this
    digits = node.to.expressions[0].name if node.to.expressions else "3"
    prefix = "athena_try_" if isinstance(node, exp.TryCast) else "athena_"
    if kind == exp.DType.TIMESTAMP:
        inner = node.this
        if isinstance(inner, exp.Anonymous) and inner.name.endswith("_timestamptz"):
            raise AthenaError(
                "NOT_EMULATED: a cast of a zoned time keeps its wall clock on Athena, which this "
                "emulator cannot show; use AT TIME ZONE 'UTC'"
            )
        moment = _call(f"{prefix}timestamp", inner)
        if isinstance(inner, exp.Literal) and not node.to.expressions:
            digits = str(len(inner.name.partition(".")[2]))  # a literal's own
        precision = "TIMESTAMP" if int(digits) > 3 else "TIMESTAMP_MS"
        return exp.Cast(this=moment, to=exp.DataType.build(precision, dialect="duckdb"))
    if kind == exp.DType.TIMESTAMPTZ:
        return _call(f"{prefix}timestamptz", node.this)
    if kind == exp.DType.BIGINT:
        return _call(f"{prefix}bigint", node.this)
    if kind == exp.DType.DOUBLE:
        return _call(f"{prefix}double", node.this)
    if kind in (exp.DType.VARCHAR, exp.DType.TEXT) and not node.to.expressions:
        return _call("athena_varchar", node.this)
    return node


def _call(name: str, *arguments: exp.Expr) -> exp.Expr:
    return exp.Anonymous(this=name, expressions=[argument.copy() for argument in arguments])
