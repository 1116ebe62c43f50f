//! The modules of a crate, as its files declare them. Modules and items that only tests have are left out.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use syn::{Attribute, Item};

/// A crate's modules; the first one is the crate itself.
pub struct Tree {
    pub modules: Vec<Module>,
    /// Files of modules that only tests have.
    tests: Vec<PathBuf>,
}

/// A module.
pub struct Module {
    /// Its path below the crate, empty for the crate itself.
    pub path: Vec<String>,
    /// Its parent's place in [`Tree::modules`]; the crate has none.
    pub parent: Option<usize>,
    /// Its modules by name.
    pub children: HashMap<String, usize>,
    /// Where it is written.
    pub file: PathBuf,
    /// Whether that file is its own.
    pub owns_file: bool,
    /// What it contains, its modules and what only tests have left out.
    pub items: Vec<Item>,
}

impl Tree {
    /// The modules below `root`, a file of the folder `src`.
    pub fn load(src: &Path, root: &Path) -> Self {
        let mut tree = Self { modules: Vec::new(), tests: Vec::new() };
        let text = std::fs::read_to_string(root).unwrap();
        let items = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", root.display())).items;
        tree.add(None, Vec::new(), root, src, items, true);
        tree
    }

    /// The modules of a crate that is one text.
    pub fn parse(text: &str) -> Self {
        let mut tree = Self { modules: Vec::new(), tests: Vec::new() };
        tree.add(None, Vec::new(), Path::new("example.rs"), Path::new(""), syn::parse_file(text).unwrap().items, true);
        tree
    }

    /// All files that were read.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.modules.iter().map(|module| module.file.as_path()).chain(self.tests.iter().map(PathBuf::as_path))
    }

    /// Adds a module written in `file`, whose own modules lie in `folder`.
    fn add(
        &mut self,
        parent: Option<usize>,
        path: Vec<String>,
        file: &Path,
        folder: &Path,
        items: Vec<Item>,
        owns_file: bool,
    ) -> usize {
        let place = self.modules.len();
        self.modules.push(Module {
            path: path.clone(),
            parent,
            children: HashMap::new(),
            file: file.to_owned(),
            owns_file,
            items: Vec::new(),
        });
        for item in items {
            let for_tests = is_for_tests(attributes(&item));
            let Item::Mod(module) = item else {
                if !for_tests {
                    self.modules[place].items.push(item);
                }
                continue;
            };
            let name = module.ident.to_string();
            let path: Vec<String> = path.iter().cloned().chain([name.clone()]).collect();
            let below = folder.join(&name);
            if for_tests {
                self.tests.extend(files_of_tests(&module, file, &below));
                continue;
            }
            let child = match module.content {
                Some((_, items)) => self.add(Some(place), path, file, &below, items, false),
                None => {
                    let file = file_of(&below);
                    let text = std::fs::read_to_string(&file).unwrap();
                    let items =
                        syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display())).items;
                    self.add(Some(place), path, &file, &below, items, true)
                }
            };
            self.modules[place].children.insert(name, child);
        }
        place
    }
}

/// The roots of a crate's library and binaries.
pub fn roots(src: &Path) -> Vec<PathBuf> {
    let named = [src.join("lib.rs"), src.join("main.rs")];
    named.into_iter().filter(|root| root.exists()).chain(files_below(&src.join("bin"))).collect()
}

/// The sources in a folder and all folders in it.
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            files.extend(files_below(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// The file of the module whose own modules lie in `folder`.
fn file_of(folder: &Path) -> PathBuf {
    let (beside, inside) = (folder.with_extension("rs"), folder.join("mod.rs"));
    if inside.exists() { inside } else { beside }
}

/// The files of a module of tests that `file` declares.
fn files_of_tests(module: &syn::ItemMod, file: &Path, folder: &Path) -> Vec<PathBuf> {
    let named = module.attrs.iter().find_map(|attribute| match &attribute.meta {
        syn::Meta::NameValue(meta) if meta.path.is_ident("path") => match &meta.value {
            syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(path), .. }) => Some(path.value()),
            _ => None,
        },
        _ => None,
    });
    let own = named.map_or_else(|| file_of(folder), |path| file.with_file_name(path));
    let below = files_below(folder);
    if module.content.is_some() { below } else { [own].into_iter().chain(below).collect() }
}

/// Whether only tests have what carries these attributes: `#[test]`, `#[cfg(test)]` or `#[cfg(all(test, …))]`.
pub fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("test")
            || attribute.path().is_ident("cfg")
                && attribute.parse_args::<syn::Meta>().is_ok_and(|meta| needs_test(&meta))
    })
}

fn needs_test(condition: &syn::Meta) -> bool {
    match condition {
        syn::Meta::Path(path) => path.is_ident("test"),
        syn::Meta::List(list) if list.path.is_ident("all") => list
            .parse_args_with(syn::punctuated::Punctuated::<syn::Meta, syn::Token![,]>::parse_terminated)
            .is_ok_and(|all| all.iter().any(needs_test)),
        _ => false,
    }
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}
