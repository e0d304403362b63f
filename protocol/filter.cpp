#include "protocol/filter.hpp"

#include "protocol/filter_syntax.hpp"
#include "protocol/like_pattern.hpp"
#include "protocol/lower_case.hpp"
#include "protocol/posix_regex.hpp"
#include "protocol/sql_key.hpp"

#include <simdjson.h>

#include <algorithm>
#include <unordered_set>
#include <utility>

namespace pgcast {

enum class filter_operator : std::uint8_t {
  eq,
  neq,
  lt,
  lte,
  gt,
  gte,
  in,
  like,
  ilike,
  match,
  imatch,
  is,
  isdistinct,
};

/// What `is` and `isdistinct` can ask for beside a value.
enum class special_operand : std::uint8_t { none, null, yes, no };

struct filter_condition {
  std::string column;
  sql_type type;
  filter_operator op{};
  bool is_negated = false;
  special_operand special = special_operand::none;
  std::string key{};                       ///< of the operand, where it is a value
  std::unordered_set<std::string> keys{};  ///< of `in`
  std::optional<like_pattern> pattern{};
  bool ignores_case = false;
  std::optional<posix_regex> regex{};
};

namespace {

using enum filter_operator;

constexpr std::pair<std::string_view, filter_operator> k_operators[] = {
    {"eq", eq},
    {"neq", neq},
    {"lt", lt},
    {"lte", lte},
    {"gt", gt},
    {"gte", gte},
    {"in", in},
    {"like", like},
    {"ilike", ilike},
    {"match", match},
    {"imatch", imatch},
    {"is", is},
    {"isdistinct", isdistinct},
};

std::optional<filter_operator> operator_of(std::string_view name) {
  for (const auto& [known, op] : k_operators) {
    if (known == name) return op;
  }
  return std::nullopt;
}

/// Makes a condition of its written form, or a sentence about it.
class condition_parser {
 public:
  condition_parser(const written_condition& written, const std::vector<table_column>& columns)
      : written_(written), columns_(columns) {}

  result<filter_condition> parse() {
    const auto column = std::ranges::find(columns_, written_.column, &table_column::name);
    if (column == columns_.end()) {
      return refuse("the table has no column " + quoted_excerpt(written_.column) +
                    " that this role may read");
    }
    const auto op = operator_of(written_.operator_name);
    if (!op) {
      return refuse("there is no operator " + quoted_excerpt(written_.operator_name) +
                    "; use eq, neq, lt, lte, gt, gte, in, like, ilike, match, imatch, is or "
                    "isdistinct, with not. before it to negate");
    }
    filter_condition out{column->name, sql_type(*column), *op, written_.is_negated};
    if (const auto sentence = read_operand(out)) return refuse(*sentence);
    return out;
  }

 private:
  using problem = std::optional<std::string>;

  error refuse(const std::string& sentence) const {
    return error{errc::filter_malformed, "filter " + written_.text + ": " + sentence};
  }

  std::string unsuited(const sql_type& type, std::string_view remedy) const {
    return written_.operator_name + " cannot be used for column " +
           quoted_excerpt(written_.column) + " of type " + type.name() + "; " + std::string(remedy);
  }

  problem read_operand(filter_condition& out) const {
    if (out.op == is) return read_is(out);
    if (out.op == in) return read_list(out);
    const auto operand = unquote_operand(written_.operand);
    if (!operand) return operand.error().detail;
    switch (out.op) {
      case like:
      case ilike:
        return read_pattern(out, *operand);
      case match:
      case imatch:
        return read_regex(out, *operand);
      case isdistinct:
        if (ascii_lower(written_.operand) == "null") {
          out.special = special_operand::null;
          return std::nullopt;
        }
        [[fallthrough]];
      case eq:
      case neq:
        return read_value(out.type, *operand, out.key);
      default:
        if (!out.type.has_order()) return unsuited(out.type, "use eq, neq, in, is or isdistinct");
        return read_value(out.type, *operand, out.key);
    }
  }

  problem read_value(const sql_type& type, std::string_view text, std::string& key) const {
    if (!type.has_equality()) {
      return unsuited(type,
                      "its values cannot be compared here, is.null and isdistinct.null can "
                      "be asked");
    }
    auto read = type.key_of_literal(text);
    if (!read) {
      return quoted_excerpt(text) + " is no value of column " + quoted_excerpt(written_.column) +
             " of type " + type.name() + ", or not in a form that is read here; " +
             std::string(type.accepted_forms());
    }
    if (type.name() == "jsonb" && trim_blanks(text) == "null") {
      return "the JSON null cannot be told from NULL; use is.null";
    }
    key = *std::move(read);
    return std::nullopt;
  }

  problem read_list(filter_condition& out) const {
    const auto list = split_list(written_.operand);
    if (!list) return list.error().detail;
    if (!out.type.has_equality()) return read_value(out.type, "", out.key);
    out.keys.reserve(list->size());
    for (const auto& text : *list) {
      std::string key;
      if (auto bad = read_value(out.type, text, key)) return bad;
      out.keys.insert(std::move(key));
    }
    return std::nullopt;
  }

  problem read_is(filter_condition& out) const {
    const std::string word = ascii_lower(written_.operand);
    if (word == "null" || word == "unknown") out.special = special_operand::null;
    if (word == "true") out.special = special_operand::yes;
    if (word == "false") out.special = special_operand::no;
    if (out.special == special_operand::none) {
      return quoted_excerpt(written_.operand) + " does not go with is; use null, and for a " +
             "boolean true, false or unknown";
    }
    if (word != "null" && !out.type.is_boolean()) {
      return unsuited(out.type, "of other types than bool only is.null can be asked");
    }
    return std::nullopt;
  }

  problem read_pattern(filter_condition& out, const std::string& operand) const {
    if (!out.type.is_text()) return unsuited(out.type, "it is for text");
    out.ignores_case = out.op == ilike || out.type.ignores_case();
    out.pattern = like_pattern::parse(out.ignores_case ? to_lower(operand) : operand);
    if (out.pattern) return std::nullopt;
    return "the pattern ends with a lone backslash; write two for one";
  }

  problem read_regex(filter_condition& out, const std::string& operand) const {
    if (!out.type.is_text()) return unsuited(out.type, "it is for text");
    const bool ignores_case = out.op == imatch || out.type.ignores_case();
    auto regex =
        posix_regex::parse(operand, ignores_case ? letter_case::ignored : letter_case::counts);
    if (!regex) {
      return "the regular expression " + quoted_excerpt(operand) +
             " cannot be used: " + regex.error().detail;
    }
    out.regex = *std::move(regex);
    return std::nullopt;
  }

  const written_condition& written_;
  const std::vector<table_column>& columns_;
};

enum class truth : std::uint8_t { no, yes, unknown };

truth truth_of(bool fact) { return fact ? truth::yes : truth::no; }

truth evaluate_known(const filter_condition& condition, column_value& value) {
  switch (condition.op) {
    case eq:
      return truth_of(value.key() == condition.key);
    case neq:
    case isdistinct:
      return truth_of(value.key() != condition.key);
    case lt:
      return truth_of(value.key() < condition.key);
    case lte:
      return truth_of(value.key() <= condition.key);
    case gt:
      return truth_of(value.key() > condition.key);
    case gte:
      return truth_of(value.key() >= condition.key);
    case in:
      return truth_of(condition.keys.contains(value.key()));
    case like:
    case ilike:
      return truth_of(
          condition.pattern->matches(condition.ignores_case ? value.lower_text() : value.text()));
    case match:
    case imatch:
      return truth_of(condition.regex->matches(value.text()));
    case is:
      break;
  }
  const char wanted = condition.special == special_operand::yes ? '\1' : '\0';
  return truth_of(value.key().front() == wanted);
}

truth evaluate(const filter_condition& condition, row_values& row) {
  if (condition.op == in && condition.keys.empty()) return truth::no;
  auto& value = row.value(condition.column, condition.type);
  const bool is_null = value.state() == value_state::null;
  if (condition.special == special_operand::null) {
    if (!is_null && !value.is_present()) return truth::unknown;
    return truth_of(condition.op == is ? is_null : !is_null);
  }
  if (value.state() == value_state::known) return evaluate_known(condition, value);
  if (!is_null) return truth::unknown;
  if (condition.op == isdistinct) return truth::yes;
  return condition.op == is ? truth::no : truth::unknown;
}

}  // namespace

result<filter> filter::parse(std::string_view text, const std::vector<table_column>& columns) {
  if (!simdjson::validate_utf8(text.data(), text.size()) || text.find('\0') != text.npos) {
    return error{errc::filter_malformed, "the filter is not UTF-8, or holds a zero byte"};
  }
  const auto written = split_filter(text);
  if (!written) return written.error();
  std::vector<filter_condition> conditions;
  for (const auto& one : *written) {
    auto condition = condition_parser(one, columns).parse();
    if (!condition) return condition.error();
    conditions.push_back(*std::move(condition));
  }
  filter out;
  if (!conditions.empty()) {
    out.conditions_ = std::make_shared<const std::vector<filter_condition>>(std::move(conditions));
  }
  return out;
}

bool filter::matches(row_values& row) const {
  if (!conditions_) return true;
  return std::ranges::all_of(*conditions_, [&row](const filter_condition& condition) {
    return evaluate(condition, row) == (condition.is_negated ? truth::no : truth::yes);
  });
}

std::vector<std::string> filter::columns() const {
  std::vector<std::string> out;
  if (!conditions_) return out;
  for (const auto& condition : *conditions_) out.push_back(condition.column);
  return out;
}

std::optional<filter::equality> filter::indexed_equality() const {
  if (!conditions_) return std::nullopt;
  for (const auto& condition : *conditions_) {
    if (condition.is_negated) continue;
    if (condition.op == eq) return equality{condition.column, condition.key};
    if (condition.op == in && condition.keys.size() == 1) {
      return equality{condition.column, *condition.keys.begin()};
    }
  }
  return std::nullopt;
}

}  // namespace pgcast
