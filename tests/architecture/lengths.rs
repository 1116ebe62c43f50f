//! How long functions and files are, without tests.

use crate::source::{Tree, is_for_tests};
use std::path::PathBuf;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// A function.
pub struct Function {
    pub name: String,
    pub file: PathBuf,
    /// The line of its `fn`.
    pub at: usize,
    /// From its signature to its closing brace.
    pub lines: usize,
}

/// All functions of a crate.
pub fn functions(tree: &Tree) -> Vec<Function> {
    let mut found = Vec::new();
    for module in &tree.modules {
        let mut functions = Functions { found: &mut found, file: &module.file };
        module.items.iter().for_each(|item| functions.visit_item(item));
    }
    found
}

struct Functions<'a> {
    found: &'a mut Vec<Function>,
    file: &'a PathBuf,
}

impl Functions<'_> {
    fn add(&mut self, signature: &syn::Signature, body: &syn::Block) {
        let (first, last) = (signature.span().start().line, body.span().end().line);
        let name = signature.ident.to_string();
        self.found.push(Function { name, file: self.file.clone(), at: first, lines: last - first + 1 });
    }
}

impl Visit<'_> for Functions<'_> {
    fn visit_item_fn(&mut self, function: &syn::ItemFn) {
        self.add(&function.sig, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &syn::ImplItemFn) {
        if !is_for_tests(&function.attrs) {
            self.add(&function.sig, &function.block);
            visit::visit_impl_item_fn(self, function);
        }
    }

    fn visit_trait_item_fn(&mut self, function: &syn::TraitItemFn) {
        if let Some(body) = &function.default {
            self.add(&function.sig, body);
        }
        visit::visit_trait_item_fn(self, function);
    }
}

/// The files of a crate with the lines each has, tests left out.
pub fn files(tree: &Tree) -> Vec<(PathBuf, usize)> {
    let own = tree.modules.iter().filter(|module| module.owns_file);
    own.map(|module| (module.file.clone(), lines(&std::fs::read_to_string(&module.file).unwrap()))).collect()
}

/// The lines of a source file that are not its tests'.
pub fn lines(text: &str) -> usize {
    let mut tests = Tests(0);
    tests.visit_file(&syn::parse_file(text).unwrap());
    text.lines().count() - tests.0
}

/// Lines of inline modules of tests.
struct Tests(usize);

impl Visit<'_> for Tests {
    fn visit_item_mod(&mut self, module: &syn::ItemMod) {
        if is_for_tests(&module.attrs) {
            let span = module.span();
            self.0 += span.end().line - span.start().line + 1;
        } else {
            visit::visit_item_mod(self, module);
        }
    }
}
