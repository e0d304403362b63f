#include "tests/integration/filter_values.hpp"

#include <functional>
#include <utility>

namespace pgcast::test {
namespace {

using strings = std::vector<std::string>;

std::string one_of(std::mt19937& random, const strings& choices) {
  return choices[static_cast<std::size_t>(
      between(random, 0, static_cast<long long>(choices.size()) - 1))];
}

/// `count` pieces out of `choices`, joined.
std::string pieces(std::mt19937& random, const strings& choices, long long count) {
  std::string out;
  for (; count > 0; --count) out += one_of(random, choices);
  return out;
}

std::string padded(long long number, std::size_t width) {
  auto text = std::to_string(number);
  return std::string(text.size() < width ? width - text.size() : 0, '0') + text;
}

const strings k_letters{"a", "b",  "B",  "A", "ab", " ", "é", "É", "漢", "ß",  "0", "9", "_",
                        "%", "\\", "\"", "'", ",",  "(", ")", "{", "}",  "\n", "😀", "-"};

std::string random_text(std::mt19937& random) {
  return pieces(random, k_letters, between(random, 0, 5));
}

std::string random_integer(std::mt19937& random) {
  const auto bits = between(random, 1, 62);
  return std::to_string(between(random, -(1LL << bits), 1LL << bits));
}

std::string random_decimal(std::mt19937& random) {
  std::string out = one_of(random, {"", "-", "+"});
  out += std::to_string(between(random, 0, 1000));
  if (between(random, 0, 1) != 0) out += '.' + padded(between(random, 0, 999), 3);
  if (between(random, 0, 3) == 0) out += 'e' + std::to_string(between(random, -20, 20));
  return out;
}

std::string random_date(std::mt19937& random) {
  return padded(between(random, 1990, 2010), 4) + '-' + padded(between(random, 1, 12), 2) + '-' +
         padded(between(random, 1, 31), 2);
}

std::string random_time(std::mt19937& random) {
  std::string out = padded(between(random, 0, 23), 2) + ':' + padded(between(random, 0, 59), 2);
  if (between(random, 0, 1) != 0) out += ':' + padded(between(random, 0, 59), 2);
  if (out.size() > 6 && between(random, 0, 1) != 0) {
    out += '.' + std::to_string(between(random, 0, 99'999'999));
  }
  return out;
}

std::string random_zone(std::mt19937& random) {
  return one_of(random, {"", "Z", "+00", "+01", "-05:30", "+0545", "-00:30", "+12:00:30"});
}

std::string random_interval(std::mt19937& random) {
  std::string out;
  for (const char* const unit : {" year", " mons", " weeks", " days", " hours", " min", " s"}) {
    if (between(random, 0, 3) == 0) {
      out += (out.empty() ? "" : " ") + std::to_string(between(random, -40, 40)) + unit;
    }
  }
  if (out.empty() || (between(random, 0, 1) != 0 && out.find_first_of("his") == out.npos)) {
    out += " " + one_of(random, {"", "-", "+"}) + random_time(random);
  }
  return out;
}

std::string random_json(std::mt19937& random, int depth) {
  const auto kind = between(random, 0, depth > 2 ? 4 : 6);
  switch (kind) {
    case 0:
      return one_of(random, {"true", "false", "0", "1", "1.0", "10e-1", "-0", "1e3", "1000"});
    case 1:
      return one_of(random, {R"("a")", R"("A")", R"("\u0061")", R"("é")", R"("\u00e9")", R"("")",
                             R"("\n\"\\\/")", R"("\ud83d\ude00")"});
    case 2:
      return random_integer(random);
    case 3:
      return "[]";
    case 4:
      return "{}";
    default:
      break;
  }
  std::string out;
  for (auto members = between(random, 1, 3); members > 0; --members) {
    if (!out.empty()) out += one_of(random, {",", ", ", " ,\n"});
    if (kind == 6) out += one_of(random, {R"("a":)", R"("b" : )", R"("aa": )"});
    out += random_json(random, depth + 1);
  }
  return kind == 6 ? '{' + out + '}' : '[' + out + ']';
}

/// A literal of an array of what `element` gives.
std::string random_array(std::mt19937& random, const std::function<std::string()>& element) {
  if (between(random, 0, 7) == 0) return "{}";
  const auto rows = between(random, 0, 3) == 0 ? between(random, 1, 2) : 0;
  const auto count = between(random, 1, 3);
  const auto row = [&] {
    std::string out;
    for (long long i = 0; i < count; ++i) {
      std::string text = between(random, 0, 5) == 0 ? "NULL" : element();
      if (text != "NULL" && (text.empty() || text.find_first_of(",{}\"\\ \n") != text.npos)) {
        std::string quoted = "\"";
        for (const char c : text) (c == '"' || c == '\\' ? quoted += '\\' : quoted) += c;
        text = quoted + '"';
      }
      out += (i == 0 ? "" : ",") + text;
    }
    return '{' + out + '}';
  };
  if (rows == 0) return row();
  std::string out;
  for (long long i = 0; i < rows; ++i) out += (i == 0 ? "" : ", ") + row();
  return '{' + out + '}';
}

}  // namespace

long long between(std::mt19937& random, long long least, long long most) {
  return std::uniform_int_distribution<long long>(least, most)(random);
}

// clang-format off: it would put each literal on a line of its own.
std::vector<tried_type> tried_types(std::mt19937& random, int count) {
  std::vector<tried_type> out;
  const auto add = [&](tried_type type, const std::function<std::string()>& value) {
    for (int i = 0; i < count; ++i) type.literals.push_back(value());
    if (type.typname.empty()) type.typname = type.sql;
    if (type.cast.empty()) type.cast = type.sql;
    out.push_back(std::move(type));
  };
  const auto integer = [&] { return random_integer(random); };
  const auto decimal = [&] { return random_decimal(random); };
  const auto text = [&] { return random_text(random); };
  const auto small = [&] { return std::to_string(between(random, -3, 3)); };

  add({.sql = "bool", .typname = "bool",
       .cast = "",
       .is_text = false,
       .literals = {"t",  "tr", "TRUE", " true ", "y", "yes", "on", "1",     "f",    "fal", "n",
                    "no", "of", "off",  "0",      "o", "",    "2",  "truee", "yess", "null"}},
      small);
  const strings integers{"0", "-0", "+7", " 42 ", "007", "32767", "32768", "-32768", "-32769",
                         "2147483647", "2147483648", "-2147483648", "9223372036854775807",
                         "9223372036854775808", "-9223372036854775808", "9007199254740992",
                         "9007199254740993", "", " ", "1.0", "1e3", "x", "+-1", "- 1", "0x1f"};
  add({.sql = "int2", .literals = integers, .narrower = {"0x1f"}}, small);
  add({.sql = "int4", .literals = integers, .narrower = {"0x1f"}}, integer);
  add({.sql = "int8", .literals = integers, .narrower = {"0x1f"}}, integer);
  add({.sql = "oid", .literals = integers,
       .narrower = {"-32768", "-32769", "-2147483648", "0x1f"}},
      [&] { return std::to_string(between(random, 0, 4'294'967'295)); });
  const strings decimals{"0", "-0", "0.0", "1", "1.0", "1.000", "10e-1", "1e0", ".5", "5.", "-.5e1",
                         "NaN", "nan", "Infinity", "-Infinity", "inf", "-inf", "+Infinity",
                         "123456789012345678901234567890", "123456789012345678901234567890.1",
                         "1e400", "-1e400", "1e-400", "1e-320", "1e40", "1e-50", "1e39", "0e10",
                         "0.1", "0.10000000149011612", "3.4028235e38", "3.5e38", "16777216",
                         "16777217", "9007199254740993", "", ".", "e1", "1e", "1_0", "0x10", "x",
                         "1 2", "--1", " 2.50 ", "00012", "-12", "-123", "-1.2", "-1.23",
                         "1e131071", "1e131072", "1e-16383", "1e-16384", "0.1e-16383",
                         "1e99999999999"};
  add({.sql = "numeric", .literals = decimals, .narrower = {"0x10", "1_0"}}, decimal);
  add({.sql = "float4", .literals = decimals, .narrower = {"0x10", "1_0"}},
      decimal);
  add({.sql = "float8", .literals = decimals, .narrower = {"0x10", "1_0"}},
      decimal);
  const strings texts{"", " ", "a", "a ", "a  ", "A", "b", "ab", "a\tb", "null", "é", "e\u0301",
                      "Straße", "\\", "a,b", "\"", "(", "漢字", "😀", std::string(70, 'x'),
                      std::string(31, 'y') + "éé"};
  add({.sql = "text", .is_text = true, .literals = texts}, text);
  add({.sql = "varchar(80)", .typname = "varchar",
       .cast = "varchar", .is_text = true, .literals = texts}, text);
  add({.sql = "char(80)", .typname = "bpchar",
       .cast = "bpchar", .is_text = true, .literals = texts}, text);
  add({.sql = "name", .is_text = true, .literals = texts}, text);
  add({.sql = "uuid",
       .literals = {"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11",
                    "{a0eebc99-9c0b4ef8-bb6d6bb9-bd380a11}", "a0eebc999c0b4ef8bb6d6bb9bd380a11",
                    "a0ee-bc99-9c0b-4ef8-bb6d-6bb9-bd38-0a11",
                    "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a112",
                    "{a0eebc999c0b4ef8bb6d6bb9bd380a11", "a0eebc999c0b4ef8bb6d6bb9bd380a11}",
                    " a0eebc999c0b4ef8bb6d6bb9bd380a11", "a-0eebc999c0b4ef8bb6d6bb9bd380a11", "",
                    "x"}},
      [&] { return pieces(random, {"00", "0a", "A0", "ff"}, 16); });
  const strings moments{"2000-01-01", "2000-01-01 00:00", "2000-01-01T00:00:00", "2000-1-1",
                        "2000-01-01 24:00:00", "2000-01-02 00:00:00+00", "2000-01-01 23:59:60",
                        "2000-01-01 12:30:15.123456", "2000-01-01 12:30:15.1234565",
                        "2000-01-01 12:30:15.9999999", "2000-01-01T12:30:15.5Z",
                        "2000-01-01T13:30:15.5+01:00", "2000-01-01 12:30 +01",
                        "2000-01-01 12:30:15 UTC", "infinity", "-infinity", "Infinity", "epoch",
                        "2000-02-29", "1900-02-29", "2001-02-29", "2000-13-01", "2000-00-01",
                        "2000-01-32", "0044-03-15 BC", "0044-03-15 12:00 BC", "0001-12-31 BC",
                        "0001-01-01", "0000-01-01", "4714-11-24 BC", "4714-11-23 BC",
                        "4713-01-01 00:00:00+00 BC", "294276-12-31 23:59:59.999999", "294277-01-01",
                        "5874897-12-31", "5874898-01-01", "2000-01-01 25:00", "2000-01-01 12:60",
                        "2000-01-01 12:30:61", "2000-01-01 12:30+16", "2000-01-01 12:30-15:59",
                        "2000-01-01x", "", "x", "tomorrow", "January 8, 1999", "20000101",
                        "2000/01/01", "99-01-01", " 2000-01-01 ", "2000-01-01 12",
                        "2000-01-01 12:30:15.", "2000-01-01 12:30:15 Europe/London", "+infinity"};
  const std::set<std::string> narrow_moments{"tomorrow", "January 8, 1999", "20000101",
                                             "2000/01/01", "99-01-01", "2000-01-01 12",
                                             "2000-01-01 12:30:15.", "+infinity",
                                             "2000-01-01 12:30:15 Europe/London"};
  const auto moment = [&] {
    std::string out_text = random_date(random);
    if (between(random, 0, 3) != 0) {
      out_text += one_of(random, {" ", "T"}) + random_time(random) + random_zone(random);
    }
    return out_text;
  };
  for (const char* const name : {"date", "timestamp", "timestamptz"}) {
    add({.sql = name, .literals = moments, .narrower = narrow_moments},
        moment);
  }
  const strings times{"00:00", "24:00:00", "24:00:01", "12:30:15.5", "12:30:15.500000", "1:30",
                      "23:59:60", "23:59:59.9999999", "12:60", "25:00", "", "x", "12", "123015",
                      "12:30 PM", "allballs", "12:30:60", " 12:30 ", "12:30+01", "12:30Z",
                      "11:30+00", "13:30+02", "12:30+15:59:59", "12:30+16"};
  add({.sql = "time", .literals = times,
       .narrower = {"123015", "12:30 PM", "allballs", "12:30+01", "12:30Z", "11:30+00", "13:30+02",
                    "12:30+15:59:59", "12:30+16"}},
      [&] { return random_time(random); });
  add({.sql = "timetz", .literals = times,
       .narrower = {"123015", "12:30 PM", "allballs"}},
      [&] { return random_time(random) + random_zone(random); });
  add({.sql = "interval",
       .literals = {"1 day", "24:00:00", "24 hours", "1440 min", "86400 s", "1 month", "30 days",
                    "720:00:00", "1 year", "12 mons", "360 days", "365 days", "-1 day", "1 day ago",
                    "1 day -24:00", "1 day 02:03:04.5", "1.5 seconds", "0", "00:00", "1 week",
                    "7 days", "-1 year 2 mons -3 days +04:05:06", "2 days 1 day", "1 hour 02:00",
                    "1.5 days", "P1D", "P1Y2M3DT4H5M6S", "", "x", "1", "1 fortnight", "1 m", "1 y",
                    "178000000 years", "178956970 years", "178956971 years", "2147483647 days",
                    "2147483648 days", "99999999999 s", "1 DAY", "1day", "1 day2 hours",
                    "00:00:00.0000005", "1:2:3", "00:60", "infinity", "- 1 day", "00:00:60",
                    "-00:00:01", "1.25s", "10 ms", "1 decade", "1 day ago ago", "ago", "-infinity"},
       .narrower = {"0", "1.5 days", "P1D", "P1Y2M3DT4H5M6S", "1", "99999999999 s", "10 ms",
                    "1 decade", "1 day ago ago", "00:00:60", "- 1 day", "00:60"},
       .newer = {"infinity", "-infinity"}},
      [&] { return random_interval(random); });
  add({.sql = "bytea",
       .literals = {"\\x", "", "\\x00", "\\x00ff", "\\X00", "\\x0", "\\x 00 ff", "\\x0 0", "abc",
                    "\\x616263", "\\\\", "\\000", "\\777", "\\1", "a\\", "\\xgg", "é", "\\xc3a9"}},
      [&] { return "\\x" + pieces(random, {"00", "01", "7f", "80", "FF"}, between(random, 0, 3)); });
  const strings networks{"10.0.0.1", "10.0.0.1/32", "10.0.0.1/8", "10.0.0.0/8", "10.0.0.0/16",
                         "10.1.0.0/16", "0.0.0.0/0", "255.255.255.255", "192.168.0.0/24", "::1",
                         "::1/128", "::/0", "fe80::1/64", "fe80::/64", "FE80::/64",
                         "::ffff:1.2.3.4", "10.0.0.1/33", "10.0.0", "10.0.0.256", "10/8", "", "x",
                         "10.0.0.1/", "10.0.0.1/-1", "::1/129", "1:2", "10.0.0.1/08", " 10.0.0.1"};
  const auto network = [&] {
    return pieces(random, {"10.", "11."}, 3) + one_of(random, {"0", "1"}) +
           one_of(random, {"", "/31", "/8", "/9"});
  };
  add({.sql = "inet", .literals = networks,
       .narrower = {"10/8", "10.0.0"}},
      network);
  add({.sql = "cidr", .literals = networks,
       .narrower = {"10/8", "10.0.0"}},
      network);
  const strings hardware{"08:00:2b:01:02:03", "08-00-2B-01-02-03", "08002b:010203", "08002b010203",
                         "0800.2b01.0203", "08:00:2b:01:02", "08:00:2b:01:02:03:04:05", "",
                         "08:00-2b:01:02:03", "gg:00:2b:01:02:03", "ff:ff:ff:ff:ff:ff",
                         "ff:ff:ff:ff:ff:ff:ff:ff", "8:0:2b:1:2:3"};
  const auto bytes = [&](int more) {
    std::string address = one_of(random, {"00", "ff", "7f"});
    for (; more > 0; --more) address += ':' + one_of(random, {"00", "ff", "80"});
    return address;
  };
  add({.sql = "macaddr", .literals = hardware,
       .narrower = {"08002b:010203", "08002b010203", "0800.2b01.0203", "8:0:2b:1:2:3"}},
      [&] { return bytes(5); });
  add({.sql = "macaddr8", .literals = hardware,
       .narrower = {"08:00:2b:01:02:03", "08-00-2B-01-02-03", "08002b:010203", "08002b010203",
                    "0800.2b01.0203", "ff:ff:ff:ff:ff:ff"}},
      [&] { return bytes(7); });
  add({.sql = "varbit",
       .literals = {"", "0", "1", "10", "01", "100000000", "b1", "x1F", "2", "11111111"},
       .narrower = {"b1", "x1F"}},
      [&] { return pieces(random, {"0", "1"}, between(random, 0, 10)); });
  const strings labels{"new", "open", "on hold", "Closed", "a,b"};
  add({.sql = "mood",
       .literals = {"new", "open", "on hold", "Closed", "closed", "", "a,b"},
       .labels = labels},
      [&] { return one_of(random, labels); });
  add({.sql = "jsonb",
       .has_order = false,
       .literals = {"1", "1.0", "1.00e0", "\"1\"", "[1, 2]", "[1,2]", "[2,1]", "[]", "[[]]", "{}",
                    R"({"a":1,"b":2})", R"({"b":2,"a":1})", R"({"a":3,"a":1,"b":2})", "true",
                    " true ", "tru", "", "01", "1.", ".5", "+1", "[1,]", "{a:1}", R"({"a"})",
                    R"("\u0000")", R"("\ud800")", "NaN", R"("a)", "[1] [2]", "null", "-0", "0.0",
                    "1e999999", R"(["a", "b"])", R"(["ab"])", "123456789012345678901234567890",
                    "[null]", R"({"a":null})"},
       .narrower = {"null"}},
      [&] { return random_json(random, 0); });
  add({.sql = "int4[]", .typname = "_int4",
       .cast = "",
       .literals = {"{}",        "{1}",     "{1,2}",       "{1,2,3}",        "{{1,2}}",
                    "{{1},{2}}", "{NULL}",  "{null,1}",    " { 1 , 2 } ",    "{1,}",
                    "{,1}",      "{1,{2}}", "{{1},2}",     "{{1,2},{3}}",    "{1",
                    "1",         "{1}x",    "[0:1]={1,2}", "{\"1\"}",        "{\"NULL\"}",
                    "{1 2}",     "",        "{{{1}}}",     "{{{{{{{1}}}}}}}"},
       .narrower = {"[0:1]={1,2}"}},
      [&] { return random_array(random, small); });
  add({.sql = "text[]", .typname = "_text",
       .cast = "",
       .literals = {"{}", "{\"\"}", "{a,b}", "{ab}", "{\"a,b\"}", "{\"a\\\"b\"}", "{a b}", "{ a }",
                    "{NULL}", "{\"NULL\"}", "{N\\ULL}", "{\\ }", "{a\\ }", "{é,漢}"}},
      [&] { return random_array(random, text); });
  add({.sql = "numeric[]", .typname = "_numeric",
       .cast = "",
       .literals = {"{1.0}", "{1}", "{NaN}", "{-1,-12}", "{Infinity,1}"}},
      [&] { return random_array(random, decimal); });
  add({.sql = "timestamptz[]", .typname = "_timestamptz",
       .cast = "",
       .literals = {"{\"2000-01-01 00:00:00+00\"}", "{2000-01-01}", "{infinity}"}},
      [&] { return random_array(random, moment); });
  add({.sql = "mood[]", .typname = "_mood",
       .cast = "",
       .literals = {"{new,open}", "{\"on hold\"}", "{\"a,b\"}", "{x}"},
       .labels = labels},
      [&] { return random_array(random, [&] { return one_of(random, labels); }); });
  return out;
}

std::vector<std::string> like_patterns(std::mt19937& random, int count) {
  strings out{"",     "%",    "_", "%%", "a%",   "%a", "%a%",  "a_",    "__",     "\\%",    "\\_",
              "\\\\", "a\\b", "é", "É%", "%漢%", "_é", "a%b%", "%\\%%", "Straße", "STRASSE"};
  const strings parts{"a", "B", "b", "%", "_", "\\%", "\\_", "é", "漢", " ", "%_", "ab"};
  for (int i = 0; i < count; ++i) out.push_back(pieces(random, parts, between(random, 0, 5)));
  return out;
}

std::vector<std::string> regular_expressions(std::mt19937& random, int count) {
  strings out{"", "a", "^a", "a$", "^a$", "^$", ".", "a|b", "a|", "|a", "()", "(a|b)+", "a*", "a+?",
              "a{2}", "a{0}", "a{1,2}", "a{1,}", "a{2,1}", "a{256}", "a{255}", "a{", "a{,2}", "{1}",
              "*a", "a**", "a+*", "^*", "(*a)", "(a", "a)", "[ab]", "[^ab]", "[]a]", "[^]a]",
              "[a-c]", "[c-a]", "[a-]", "[-a]", "[a-b-c]", "[--0]", "[", "[a", "[[:alpha:]]",
              "[[:alpha:]_0-9]", "[^[:space:]]", "[[:foo:]]", "[[:alpha:]-z]", "[a-[:digit:]]",
              "\\d", "\\D", "\\s", "\\S", "\\w", "\\W", "[\\d]", "[\\w%]", "[^\\s]", "[\\D]",
              "\\ya", "a\\y", "\\Y", "\\Aa", "a\\Z", "\\a\\e", "\\B", "[\\B]", "\\n", "\\t", "\\\\",
              "\\.", "\\q", "\\u0061", "\\u00e9", "\\U00000061", "\\u61", "(?:ab)+", "(?i)A",
              "(?c)A", "(?s)a.b", "(?q)a", "***=a.b", "***:a", "***a", "é", "É", "[é]", "[^é]",
              "[à-ü]", "漢.", "😀", "a\\", "(?a)", "a?b", "(a)(b)", "((a))", "x{1", "x{1,", "x{1a}",
              "[[.a.]]", "[[=a=]]", "\\y*", "(^a|b$)", "$a", "a^b", "a$b", ".{3}", "^.{2,3}$",
              "(a|b|)c?", "%", "_", "\\m", "(a)\\1", "a(?=b)", "a(?!b)", "\\x61", "\\0",
              "[[:lower:]]", "[[:upper:]]", "[[:word:]]", "(?:", "(?", "]", "}", "[]", "[^]", "(?i",
              "[a\\]", "[\\]]", "a{1}{2}", "(?n)a", "\\cA"};
  const strings parts{"a",   "b",     "B",           "[ab]", "[^a]", ".",   "*",   "+",   "?",
                      "|",   "(",     ")",           "^",    "$",    "\\d", "\\w", "\\s", "é",
                      "{2}", "{1,2}", "[[:alpha:]]", "\\y",  "\\%",  " ",   "漢"};
  for (int i = 0; i < count; ++i) out.push_back(pieces(random, parts, between(random, 1, 6)));
  return out;
}

// clang-format on

}  // namespace pgcast::test
