# SPDX-License-Identifier: MIT
"""Expected renderings for tests/text/test_text_template.c, made with the jinja2 package (3.1).

    python3 tests/golden/make_templates.py > tests/text/data/templates.jsonl

The first line holds the context, the others dialect (plain | chat), source, and rendered, or error where
jinja2 fails. Chat is set up as
transformers does for apply_chat_template.
"""
import json

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

CONTEXT = {
    "name": "World", "empty": "", "zero": 0, "one": 1, "pi": 3.14159, "yes": True, "no": False, "nothing": None,
    "words": ["apple", "Banana", "cherry", "apple"], "numbers": [3, 1, 2], "nested": [[1, 2], [3]], "unicode": "caf\u00e9 \u4f60\u597d \U0001f600",
    "text": "  two  words\n", "lines": "first\nsecond\n\nlast\n", "quote": "it's \"so\" <b>&amp;</b>\\",
    "person": {"name": "Ann", "age": 30, "items": "shadowed", "tags": ["x", "y"], "deep": {"er": {"est": 1}}},
    "people": [{"name": "Ann", "age": 30, "ok": True}, {"name": "bob", "age": 25, "ok": False}, {"name": "Cid", "age": 30}],
    "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": " Hi\n"},
                 {"role": "assistant", "content": "Hello", "tool_calls": [{"function": {"name": "f", "arguments": {"a": 1, "b": [1.5, None, "\u00e9"]}}}]}],
}

EXPRESSIONS = r"""
name
name ~ '!' ~ one ~ nothing ~ yes
'a' 'b' "c"
1 + 2 * 3 - 4
7 / 2
7 // 2
-7 // 2
7 % 3
-7 % 3
7 % -3
2 ** 10
2 ** -1
2 ** 3 ** 2
7.5 % 2
-7.5 % 2
1e3
1_000
0.1 + 0.2
1e16
1e15
123456789.125
1e-5
0.0001
100 * 1.1
5.0
-0.0
1 / 3
10 // 0.3
'ab' * 3
3 * 'ab'
[1, 2] * 2
[1] + [2]
(1, 2) + (3,)
'a' + 'b'
name + '!'
true + 1
yes and no
yes or no
one and name
zero or 'x'
not yes
not empty
nothing or 'd'
1 == 1.0
true == 1
'1' == 1
none == false
[1, 2] == [1, 2]
[1] == (1,)
{'a': 1} == {'a': 1.0}
1 < 2 < 3
1 < 3 < 2
'a' < 'b'
'Z' < 'a'
[1, 2] < [1, 3]
1 in [1, 2]
4 in numbers
'a' in 'cat'
'' in 'cat'
'name' in person
'x' not in person
not 1 in [1]
1 if yes else 2
1 if no else 2
'x' if no
(1 if no else 2) + 1
words[0]
words[-1]
words[9]
words[1:]
words[:-1]
words[::2]
words[::-1]
words[5:]
words[-2:]
words[1:2]
name[0]
name[-1]
name[1:3]
name[::-1]
unicode[3]
unicode[5:7]
unicode[::-1]
unicode|length
numbers[true]
name[10:]
name[-3:]
name[3:1]
person.name
person['name']
person.age + 1
person['items']
person.tags[1]
person.deep.er.est
person['deep']['er']
person.missing
person['missing']
person.missing is defined
person.get('name')
person.get('zip', 5)
person.get('zip')
person.tags.0
words.0
people[1].name
person
words
nested
(1,)
(1, 2)
()
[]
{}
{'a': [1, {'b': none}]}
[true, none, 1.5, 'x', "it's"]
['\n', '\\', '\t', 'é']
[quote]
1, 2
{1: 'a', none: 2, 'x': (1,)}
unicode
[unicode]
"\x41\u00e9\101\q"
'\'"'
words|length
name|length
person|length
words|first
words|last
words|join
words|join(', ')
people|join(';', attribute='name')
name|upper
name|lower
'hello world'|title
'hello WORLD'|capitalize
"foo-bar (baz) it's"|title
text|trim
'xxaxx'|trim('x')
'  a '|trim ~ '|'
name|replace('o', '0')
'aaa'|replace('a', 'b', 2)
missing|default('d')
empty|default('d')
empty|default('d', true)
missing|d
nothing|default('d')
nothing|default('d', boolean=true)
name|list
words|list
person|list
words|reverse|list
name|reverse
numbers|sort
words|sort
words|sort(reverse=true)
words|sort(case_sensitive=true)
people|sort(attribute='age')|map(attribute='name')|list
people|map(attribute='name')|join(',')
people|map(attribute='ok', default='?')|list
words|map('upper')|list
words|map('replace', 'a', 'A')|join(' ')
words|unique|list
numbers|sum
people|sum(attribute='age')
numbers|sum(start=10)
numbers|min
numbers|max
words|max
words|min
numbers|select('odd')|list
numbers|reject('odd')|list
numbers|select('gt', 1)|list
[0, 1, '', 'a']|select|list
people|selectattr('ok')|map(attribute='name')|list
people|selectattr('age', 'equalto', 30)|list|length
people|rejectattr('ok', 'defined')|map(attribute='name')|list
people|selectattr('name', 'in', ['Ann', 'Cid'])|list|length
words|reject('equalto', 'apple')|join(', ') + '!'
person.deep|items|list
{'b': 1, 'A': 2}|dictsort
{'b': 1, 'A': 2}|dictsort(true)
{'b': 1, 'A': 2}|dictsort(by='value', reverse=true)
'42'|int
'42.9'|int
'x'|int
'x'|int(7)
3.99|int
-3.99|int
' 12 '|int
'1e2'|int
true|int
none|int
'3.5'|float
'x'|float
'x'|float(1.5)
3|float
-3|abs
-2.5|abs
2.5|round
3.5|round
2.675|round(2)
2.1|round(method='ceil')
2.9|round(0, 'floor')
7|round
42|string|length
nothing|string
lines|indent
lines|indent(2)
lines|indent(2, true)
lines|indent(2, true, true)
lines|indent('> ', true)
'one'|indent
''|indent(2, true)
"a b c"|wordcount
'   '.strip() ~ '|'
text.strip()
text.lstrip()
text.rstrip() ~ '|'
'xyabyx'.strip('xy')
'a,b,,c'.split(',')
'a,b,,c'.split(',', 1)
' a  b '.split()
' a  b c '.split(none, 1)
'a,b,c'.rsplit(',', 1)
lines.splitlines()
'a</think>b'.split('</think>')[-1]
name.startswith('Wo')
name.startswith(('x', 'W'))
name.endswith('ld')
name.upper()
name.lower()
'hello wORLD'.title()
"it's".title()
'hELLO'.capitalize()
name.replace('l', 'L')
'aXbXc'.replace('X', '', 1)
name.find('r')
unicode.find('你')
name.find('zz')
name.rfind('o')
name.count('o')
', '.join(words)
'  '.isspace()
'AB'.isupper()
'Ab'.islower()
'prefix-x'.removeprefix('prefix-')
'x.py'.removesuffix('.py')
person.items()|list|length
person.deep.items()|list
person.keys()|list
person.deep.values()|list
words.index('cherry')
words.count('apple')
'straße'|upper
unicode|upper
'ÀÉ'|lower
'ÀÉ'.lower()
x is defined
name is defined
missing is undefined
nothing is none
name is none
name is string
one is string
one is number
yes is number
pi is number
one is integer
yes is integer
pi is float
yes is boolean
one is boolean
person is mapping
words is mapping
words is sequence
name is sequence
person is sequence
one is sequence
words is iterable
name is iterable
one is iterable
3 is odd
4 is even
9 is divisibleby(3)
9 is divisibleby 2
1 is eq 1
1 is equalto(2)
1 is ne 1
1 is lt 2
2 is ge 2
'a' is in 'abc'
1 is in [2]
yes is true
one is true
no is false
none is sameas none
'abc' is lower
'ABC' is upper
'aB' is lower
range is callable
name is callable
1 is not none
missing is not defined and yes
not missing is defined
nothing is not none or 5
range(3)|list
range(1, 7, 2)|list
range(3, 0, -1)|list
dict(a=1, b='x')
namespace(a=1).a
'%' ~ 5
missing ~ 'x'
missing|length
missing|list
'a' in missing
missing == missing2
"a" ~ ("b" if no)
[1,2,]
{'a': 1,}
(1 + 2) * 3
-one
+one
--one
-2 ** 2
not not one
1 if 0 else 2 if 0 else 3
words|length > 2 and name == 'World'
words|first|upper
(words|first).lower()
person.name|lower ~ person.age
- 3|abs
"""

CHAT_EXPRESSIONS = r"""
person|tojson
messages|tojson
person|tojson(indent=2)
[]|tojson(indent=4)
{}|tojson(indent=4)
[1, [2, {}]]|tojson(indent=1)
quote|tojson
unicode|tojson
unicode|tojson(ensure_ascii=true)
{'b': 1, 'a': 2}|tojson
{'b': 1, 'a': 2}|tojson(sort_keys=true)
{'a': [1, 2]}|tojson(separators=(',', ':'))
1.0|tojson
1e100|tojson
none|tojson
[true, false]|tojson
(1, 2)|tojson
{1: 2, none: 3, true: 4, 1.5: 5}|tojson
"\u0001\x7f\b\f"|tojson
{'a': 1}|tojson(indent='--')
words|tojson|safe
'é\u2028'|tojson
"""

PLAIN_EXPRESSIONS = r"""
person|tojson
quote|tojson
unicode|tojson
person.deep|tojson(indent=2)
{'b': 1, 'a': "<'&>"}|tojson
"\x7f"|tojson
"""

SOURCES = r"""plain text
===
{{ name }}

===
{{ name }}


===
{% if yes %}a{% else %}b{% endif %}
===
{% if no %}a{% elif one %}b{% elif yes %}c{% else %}d{% endif %}
===
{% for w in words %}{{ loop.index }}:{{ w }}{% if not loop.last %}, {% endif %}{% endfor %}
===
{% for w in words %}
  {{ w }}
{% endfor %}
end
===
{% for w in words -%}
  {{ w }}
{%- endfor %}
end
===
  {%- if yes -%}  x  {%- endif -%}  y
===
a
    {% if yes %}
    b
    {% endif %}
c
===
a
    {%+ if yes %}
    b
    {%+ endif +%}
c
===
a {# comment #} b {#- strip -#} c
   {# whole line #}
d
===
{% for a in [] %}x{% else %}none{% endfor %}
===
{% for a, b in person.deep.items() %}{{ a }}={{ b }}{% endfor %}
===
{% for k, v in person|dictsort %}{{ k }};{% endfor %}
===
{% for x in numbers if x > 1 %}{{ loop.index0 }}{{ loop.length }}{{ x }} {% endfor %}
===
{% for x in numbers %}{{ loop.first }} {{ loop.last }} {{ loop.revindex }} {{ loop.revindex0 }} {{ loop.previtem }} {{ loop.nextitem }} {{ loop.cycle('a', 'b') }} {{ loop.depth }}|{% endfor %}
===
{% for r in nested %}{% for c in r %}{{ loop.index }}{{ loop.depth0 }} {% endfor %}{{ loop.index }};{% endfor %}
===
{% set x = 1 %}{% for i in [1, 2] %}{% set x = x + i %}{{ x }}{% endfor %}{{ x }}
===
{% set ns = namespace(total=0) %}{% for i in numbers %}{% set ns.total = ns.total + i %}{% endfor %}{{ ns.total }}
===
{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set t = 1, 2 %}{{ t }}
===
{% set x %}block {{ name }}{% endset %}[{{ x }}]
===
{% set x | upper | replace('O', '0') %}block {{ name }}{% endset %}[{{ x }}]
===
{% if yes %}{% set inner = 5 %}{% endif %}{{ inner }}
===
{% macro hi(who, greeting='Hello', n=1) %}{{ greeting * n }}, {{ who }}!{% endmacro %}{{ hi('a') }} {{ hi('b', 'Hey') }} {{ hi(n=2, who='c') }} {{ hi() }}
===
{% macro fact(n) %}{% if n <= 1 %}1{% else %}{{ n * (fact(n - 1)|int) }}{% endif %}{% endmacro %}{{ fact(6) }}
===
{% set g = 1 %}{% macro m() %}{{ g }}{% endmacro %}{% set g = 2 %}{{ m() }}
===
{% for i in [1, 2] %}{% macro m(x) %}{{ i }}{{ x }}{% endmacro %}{{ m('a') }}{% endfor %}
===
{% with a = 1, b = name %}{{ a }}{{ b }}{% endwith %}{{ a }}
===
{% filter upper %}low {{ name }}{% endfilter %}
===
{% filter replace('a', 'b') | trim %}  banana  {% endfilter %}|
===
{% raw %}{{ not }} {% rendered %}{% endraw %}
===
x  {%- raw -%}  {{ y }}  {%- endraw -%}  z
===
{{ '}}' }}{{ "{%" }}{{ {'a': {'b': 1}} }}
===
{{ {'a': {'b': {}}}['a'] }}
===
{{- name -}}
  tail
===
line
{{- ' x' }}
  {{ name }}
===
{{ undefined_name }}{{ person.none_such }}{% for x in missing %}x{% endfor %}{% if missing %}y{% endif %}
===
{{ missing.attribute }}
===
{{ 'a' + 1 }}
===
{{ 1 < 'a' }}
===
{{ 1 / 0 }}
===
{{ name.append('x') }}
===
{{ one() }}
===
{{ missing() }}
===
{{ nothing.x.y }}
===
{{ [1, 2, 3][1:]|first }}
===
{{ words|
   join(
   ', ') }}
===
{% set loop_messages = messages[1:] %}{{ loop_messages[0].role }}{{ messages[0]['content'] + '\n' }}
===
{{ {'a': 1}.b is defined }}{{ {'a': 1}['a'] }}{{ [][0] is defined }}
===
{%- for m in messages %}
    {%- if m.role == 'user' and loop.index0 % 2 == 1 %}
        {{- m.content | trim }}
    {%- elif m.tool_calls is defined and m['tool_calls'] %}
        {%- for t in m.tool_calls %}
            {%- if t.function %}{% set t = t.function %}{% endif %}
            {{- t.name ~ '(' ~ t.arguments ~ ')' }}
        {%- endfor %}
    {%- endif %}
{%- endfor %}
===
{{ "a" if "x" is defined and no else "b" }}
===
{{ 'ab'[0] }}{{ 'ab'.0 }}
===
{% for i in range(3) %}{{ i }}{% endfor %}{{ range(2)|list }}
===
{% set x = [] %}{% for i in [1,2] %}{% set x = x + [i] %}{% endfor %}{{ x }}
===
{{ loop is defined }}{% for l in [1] %}{{ loop is defined }}{% endfor %}
===
 {% if yes %}
 {% endif %}
===

{% if yes %}

x

{% endif %}

===
{% set s = 'a' %}{% if s == 'a' %}{{ s }}{% endif -%}
   
 z
===
{{ name }}
{{ name }}
===
{% if yes %}a
===
{% endif %}
===
{{ name
===
{{ name | nosuchfilter }}
===
{{ name is nosuchtest }}
===
{{ 'abc }}
===
{% for x in %}{% endfor %}
===
{{ (1, 2 }}
===
{{ a b }}
===
{% nosuch %}
===
{# open
===
{{ foo(a=1, 2) }}
===
{{ ]}}""".split("\n===\n")

CHAT_SOURCES = r"""{{ raise_exception('roles must ' ~ 'alternate') }}
===
{% for x in numbers %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% if x == 2 %}{% break %}{% endif %}{% endfor %}|
===
{% for x in numbers %}{% for y in numbers %}{% if y == 1 %}{% break %}{% endif %}{{ x }}{{ y }} {% endfor %}{% endfor %}
===
{% if strftime_now is defined %}{{ strftime_now('%d %b %Y, %H:%M %A %j %%') }}{% else %}no{% endif %}
===
{% break %}
===
  {% for m in messages %}
  {{ m.role }}
    {# note #}
  {% endfor %}
end""".split("\n===\n")


def fixed_time():
    import datetime
    return datetime.datetime(2024, 7, 26, 13, 5, 9)


def chat_environment():
    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[jinja2.ext.loopcontrols])

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = lambda f: fixed_time().strftime(f)
    return env


def cases():
    lines = EXPRESSIONS.strip("\n").split("\n")
    for e in lines:
        yield "plain", "{{ " + e + " }}"
    yield "plain", "{{ 'a\\\nb' }}"
    for e in CHAT_EXPRESSIONS.strip("\n").split("\n"):
        yield "chat", "{{ " + e + " }}"
    for e in PLAIN_EXPRESSIONS.strip("\n").split("\n"):
        yield "plain", "{{ " + e + " }}"
    for s in SOURCES:
        yield "plain", s
        yield "chat", s
    for s in CHAT_SOURCES:
        yield "chat", s


def main():
    environments = {"plain": jinja2.Environment(), "chat": chat_environment()}
    print(json.dumps({"context": CONTEXT}))
    for dialect, source in cases():
        row = {"dialect": dialect, "source": source}
        try:
            row["rendered"] = environments[dialect].from_string(source).render(**CONTEXT)
        except Exception as e:  # whatever jinja2 refuses
            row["error"] = type(e).__name__
        print(json.dumps(row))


main()
