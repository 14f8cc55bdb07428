#!/usr/bin/env python3
"""Makes mkdocs' input: FOLDER/pages of the tree's pages and of what doxygen has read, and FOLDER/mkdocs.yml.

    docs/site/pages.py FOLDER      # doxygen's XML is in FOLDER/xml

The tree's pages link to files of the tree. In the site, a link to a header leads to its page of the reference, and of
a link to any other file that is no page, the text is left.
"""

import pathlib
import re
import sys
import xml.etree.ElementTree as ElementTree

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SITE = pathlib.Path(__file__).resolve().parent
# Pages outside of docs/, and where they go.
OUTSIDE = {"README.md": "index.md", "SECURITY.md": "SECURITY.md", "CONTRIBUTING.md": "CONTRIBUTING.md",
           "CHANGELOG.md": "CHANGELOG.md", "third_party/README.md": "third_party.md"}
GROUPS = {"core": "Tensors and gradients", "layers": "Layers", "optim": "Optimisers", "data": "Data",
          "interop": "Other people's files", "distributed": "Several processes", "kernels": "Kernels"}


# --- the tree's pages

def page_of(file, headers):
    """Where the site has a file of the tree, or None."""
    name = str(file)
    if name in OUTSIDE:
        return OUTSIDE[name]
    if name in headers:
        return "reference/" + name.replace("/", "_").removesuffix(".hpp") + ".md"
    if name.startswith("docs/") and (ROOT / file).is_file():
        return name.removeprefix("docs/")
    return None


def rewritten(text, file, page, headers):
    """The page's text with links as the site wants them, and without what docs_test alone reads."""
    def link(match):
        mark, label, target, anchor = match.groups()
        if re.match(r"\w+:", target) or not target:
            return match.group()
        there = page_of((ROOT / file.parent / target).resolve().relative_to(ROOT), headers)
        if there is None:
            return label
        up = "../" * page.count("/")
        return f"{mark}[{label}]({up}{there}{anchor or ''})"

    parts = re.split(r"(^```.*?^```$)", text, flags=re.M | re.S)
    for i, part in enumerate(parts):
        if i % 2:
            parts[i] = re.sub(r"\A```(\w+).*", r"```\1", part)
        else:
            parts[i] = re.sub(r"(!?)\[([^\]]+)\]\(([^)#\s]*)(#[^)]*)?\)", link, part)
    return "".join(parts)


# --- the reference

def text_of(element):
    """Doxygen's description as Markdown."""
    if element is None:
        return ""
    out = [element.text or ""]
    for child in element:
        if child.tag == "para":
            out.append(text_of(child).strip() + "\n\n")
        elif child.tag == "computeroutput":
            out.append(f"`{''.join(child.itertext())}`")
        elif child.tag in ("verbatim", "programlisting"):
            lines = ([("".join(line.itertext()) if line.tag == "codeline" else "") for line in child]
                     or child.text.splitlines())
            out.append("\n\n```cpp\n" + "\n".join(lines).strip("\n") + "\n```\n\n")
            out.append((child.tail or "").lstrip())
            continue
        elif child.tag == "sp":
            out.append(" ")
        elif child.tag == "itemizedlist":
            out.append("\n\n" + "".join(f"- {text_of(item).strip()}\n" for item in child) + "\n")
        elif child.tag in ("emphasis", "bold"):
            out.append(f"*{text_of(child)}*")
        else:
            out.append(text_of(child))
        out.append(child.tail or "")
    return "".join(out)


def escaped(text):
    """Outside of code, what Markdown would take for its own."""
    parts = re.split(r"(```.*?```|`[^`]*`)", text, flags=re.S)
    return "".join(part if i % 2 else re.sub(r"([*_<\[\]])", r"\\\1", part) for i, part in enumerate(parts))


def description(element):
    return escaped("\n\n".join(filter(None, (text_of(element.find(tag)).strip()
                                             for tag in ("briefdescription", "detaileddescription")))))


def plain(element):
    return "".join(element.itertext()) if element is not None else ""


def lines_of(member):
    """The header's lines from the declaration on, as far left as that is."""
    location = member.find("location")
    lines = (ROOT / location.get("file")).read_text().splitlines()
    first = line_of(member) - 1
    while re.match(r"\s*(template|requires)\b", lines[first - 1]):
        first -= 1
    indent = len(lines[first]) - len(lines[first].lstrip())
    return [line[indent:] for line in lines[first:first + 100]]


def declaration(member):
    """As the header has it, of a function without its body, and the comment behind it."""
    depth, kind, code = 0, member.get("kind"), "\n".join(lines_of(member))
    for i, c in enumerate(code):
        if depth == 0 and (c == ";" or kind == "function" and (c == "{" or re.match(r"\s: ", code[i:]))):
            behind = re.search("///<.*", code[i:].split("\n")[0])
            return code[:i].rstrip() + ";" + (f"  // {behind.group()[4:].strip()}" if behind else "")
        depth += (c in "([{") - (c in ")]}")
    raise ValueError(f"{member.find('definition').text}: where does it end?")


def line_of(element):
    return int(element.find("location").get("line"))


def members_text(members, level):
    """Neighbours in the header that share a description stand together above it, and those with a comment behind them
    among them."""
    groups = []
    for member in sorted(members, key=line_of):
        code = declaration(member)
        text = None if "  // " in code and member.get("kind") != "enum" else description(member)
        if groups:
            last = groups[-1][0][-1]
            between = lines_of(last)[:line_of(member) - line_of(last)]
            if (text is None or text == groups[-1][2]) and "" not in between:
                groups[-1][0].append(member)
                groups[-1][1].append(code)
                continue
        groups.append(([member], [code], text or ""))
    out = []
    for members, codes, text in groups:
        names = list(dict.fromkeys(m.find("name").text for m in members))
        if len(names) > 8:
            names[7:] = ["..."]
        if level:
            out.append(f"{level} `{', '.join(names)}`")
        out.append("```cpp\n" + "\n".join(dict.fromkeys(codes)) + "\n```")
        out.append(text)
    return out


def class_text(compound, comment_of):
    """Without the functions that have their comment from the base."""
    name = compound.find("compoundname").text.removeprefix("tern::")
    bases = [plain(b).removeprefix("tern::") for b in compound.findall("basecompoundref")]
    head = f"{compound.get('kind')} {name}" + (f" : {', '.join(bases)}" if bases else "")
    template = compound.find("templateparamlist")
    if template is not None:
        head = f"template <{', '.join(plain(p) for p in template)}>\n{head}"
    members = [m for m in compound.iter("memberdef")
               if m.get("prot") == "public" and not plain(m.find("argsstring")).endswith("delete")
               and not (m.find("reimplements") is not None
                        and comment_of.get(m.find("reimplements").get("refid")) == description(m))]
    return [f"## `{name}`", f"```cpp\n{head}\n```", description(compound), *members_text(members, "")]


def opening_of(header):
    """The comment that stands by itself before the header's first namespace."""
    found = re.search(r"((?:^///.*\n)+)\n", (ROOT / header).read_text().split("\nnamespace ")[0] + "\n", re.M)
    text = re.sub(r"^/// ?", "", found.group(1), flags=re.M).strip() if found else ""
    return re.sub(r"(?<!\n)\n +- ", "\n\n- ", text, count=1)  # a list


def reference_page(header, compounds, comment_of):
    """Classes and functions in the order of the header; of functions, those with a comment."""
    def here(element):
        location = element.find("location")
        return location is not None and location.get("file") == header

    classes = [c for c in compounds if c.get("kind") in ("class", "struct") and c.get("prot") != "private" and here(c)
               and description(c)]
    members = [m for c in compounds if c.get("kind") in ("namespace", "file") for m in c.iter("memberdef") if here(m)]
    members = [m for m in members if description(m)]
    out = [f"# {header}", f"```cpp\n#include <tern/{header}>\n```", escaped(opening_of(header))]
    last = 0
    for compound in sorted(classes, key=line_of) + [None]:
        line = line_of(compound) if compound is not None else 10**9
        out += members_text([m for m in members if last < line_of(m) < line], "##")
        if compound is not None:
            out += class_text(compound, comment_of)
        last = line
    return "\n\n".join(filter(None, out)) + "\n"


def without_comment(compounds):
    """Enumerators that neither have a comment nor stand in their enumeration's: doxygen does not ask for them."""
    for member in (m for c in compounds for m in c.iter("memberdef") if m.get("kind") == "enum"):
        for value in member.findall("enumvalue"):
            name = value.find("name").text
            if not description(value) and not re.search(rf"\b{name}\b", description(member).replace("\\", "")):
                yield f"{member.find('location').get('file')}:{line_of(member)}: {member.find('name').text}::{name} has no comment"


def main(folder):
    folder = pathlib.Path(folder)
    xml, pages = folder / "xml", folder / "pages"
    compounds = [ElementTree.parse(xml / f"{c.get('refid')}.xml").getroot().find("compounddef")
                 for c in ElementTree.parse(xml / "index.xml").getroot()]
    comment_of = {m.get("id"): description(m) for c in compounds for m in c.iter("memberdef")}
    headers = {c.find("location").get("file") for c in compounds if c.get("kind") == "file"}
    if missing := sorted(set(without_comment(compounds))):
        sys.exit("\n".join(missing))

    sources = [*OUTSIDE, *(str(p.relative_to(ROOT)) for p in (ROOT / "docs").rglob("*.md"))]
    for source in sources:
        page = page_of(pathlib.Path(source), headers)
        (pages / page).parent.mkdir(parents=True, exist_ok=True)
        text = rewritten((ROOT / source).read_text(), pathlib.Path(source), page, headers)
        (pages / page).write_text(("---\nhide: [navigation]\n---\n" if page == "index.md" else "") + text)
    for other in [*(ROOT / "docs").rglob("*.png"), *(ROOT / "docs").glob("*.py"), SITE / "site.css"]:
        place = pages / (other.name if other.parent == SITE else other.relative_to(ROOT / "docs"))
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(other.read_bytes())

    nav = ["  - Reference:"]
    for group, title in (GROUPS | {f: f for f in sorted({h.split("/")[0] for h in headers} - GROUPS.keys())}).items():
        of_group = sorted(h for h in headers if h.split("/")[0] == group)
        if of_group:
            nav.append(f"      - {title}:")
        for header in of_group:
            page = page_of(pathlib.Path(header), headers)
            (pages / page).parent.mkdir(exist_ok=True)
            (pages / page).write_text(reference_page(header, compounds, comment_of))
            nav.append(f"          - {pathlib.Path(header).name}: {page}")
    (folder / "mkdocs.yml").write_text((SITE / "mkdocs.yml").read_text() + "\n".join(nav) + "\n")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
