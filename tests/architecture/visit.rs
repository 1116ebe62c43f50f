//! The paths that a module's items name: in `use`, in code, in what macros and attributes are given.

use crate::source::is_for_tests;
use proc_macro2::{Spacing, TokenStream, TokenTree};
use syn::visit::{self, Visit};

/// A path that is written in a module.
pub struct Named {
    pub segments: Vec<String>,
    /// The line it is on.
    pub line: usize,
}

/// What a module names, and what `use` calls it.
#[derive(Default)]
pub struct Names {
    pub paths: Vec<Named>,
    /// Names that `use` gives to paths.
    pub aliases: Vec<(String, Vec<String>)>,
    /// Modules whose names are all taken over.
    pub globs: Vec<Vec<String>>,
}

/// What these items name.
pub fn names(items: &[syn::Item]) -> Names {
    let mut names = Names::default();
    items.iter().for_each(|item| names.visit_item(item));
    names
}

impl Names {
    fn take_use(&mut self, prefix: &[String], tree: &syn::UseTree) {
        let with = |name: &syn::Ident| -> Vec<String> { prefix.iter().cloned().chain([plain(name)]).collect() };
        match tree {
            syn::UseTree::Path(path) => self.take_use(&with(&path.ident), &path.tree),
            syn::UseTree::Name(name) => self.alias(prefix, &name.ident, &name.ident),
            syn::UseTree::Rename(rename) => self.alias(prefix, &rename.ident, &rename.rename),
            syn::UseTree::Glob(glob) => {
                self.globs.push(prefix.to_vec());
                self.name(prefix.to_vec(), glob.star_token.spans[0]);
            }
            syn::UseTree::Group(group) => group.items.iter().for_each(|tree| self.take_use(prefix, tree)),
        }
    }

    fn alias(&mut self, prefix: &[String], name: &syn::Ident, called: &syn::Ident) {
        let mut path = prefix.to_vec();
        let mut called = plain(called);
        if name == "self" {
            // `use a::b::{self}` calls the module by its own name.
            if called == "self" {
                called = path.last().cloned().unwrap_or_default();
            }
        } else {
            path.push(plain(name));
        }
        self.name(path.clone(), name.span());
        self.aliases.push((called, path));
    }

    fn name(&mut self, segments: Vec<String>, span: proc_macro2::Span) {
        self.paths.push(Named { segments, line: span.start().line });
    }

    /// Takes the paths of two segments and more from tokens that are no syntax yet.
    fn take_tokens(&mut self, tokens: TokenStream) {
        let mut tokens = tokens.into_iter().peekable();
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        let end = |path: &mut Vec<String>, names: &mut Self, span: proc_macro2::Span| {
            let path = std::mem::take(path);
            if path.len() > 1 {
                names.name(path, span);
            }
        };
        while let Some(token) = tokens.next() {
            let span = token.span();
            match token {
                TokenTree::Punct(punct) if punct.as_char() == ':' && !path.is_empty() => {
                    colons += 1;
                    if colons > 2 || colons == 1 && punct.spacing() == Spacing::Alone {
                        end(&mut path, self, span);
                        colons = 0;
                    }
                }
                TokenTree::Ident(name) => {
                    if colons != 2 {
                        end(&mut path, self, span);
                    }
                    colons = 0;
                    path.push(plain(&name));
                }
                other => {
                    end(&mut path, self, span);
                    colons = 0;
                    match other {
                        TokenTree::Group(group) => self.take_tokens(group.stream()),
                        TokenTree::Literal(literal) => self.take_literal(&literal),
                        _ => {}
                    }
                }
            }
            if tokens.peek().is_none() {
                end(&mut path, self, span);
            }
        }
    }

    /// serde is told functions by their paths, in quotes.
    fn take_literal(&mut self, literal: &proc_macro2::Literal) {
        let text = literal.to_string();
        if let Ok(path) = syn::parse_str::<syn::LitStr>(&text).and_then(|text| text.parse::<syn::Path>()) {
            self.take_path(&path, literal.span());
        }
    }

    fn take_path(&mut self, path: &syn::Path, span: proc_macro2::Span) {
        let outside = path.leading_colon.is_some();
        if !outside && path.segments.len() > 1 {
            self.name(path.segments.iter().map(|segment| plain(&segment.ident)).collect(), span);
        }
    }
}

impl Visit<'_> for Names {
    fn visit_item_use(&mut self, item: &syn::ItemUse) {
        if item.leading_colon.is_none() && !is_for_tests(&item.attrs) {
            self.take_use(&[], &item.tree);
        }
    }

    fn visit_path(&mut self, path: &syn::Path) {
        let span = path.segments.first().map_or_else(proc_macro2::Span::call_site, |first| first.ident.span());
        self.take_path(path, span);
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &syn::Macro) {
        self.visit_path(&call.path);
        self.take_tokens(call.tokens.clone());
    }

    fn visit_attribute(&mut self, attribute: &syn::Attribute) {
        if let syn::Meta::List(list) = &attribute.meta {
            self.take_tokens(list.tokens.clone());
        }
    }

    fn visit_impl_item_fn(&mut self, function: &syn::ImplItemFn) {
        if !is_for_tests(&function.attrs) {
            visit::visit_impl_item_fn(self, function);
        }
    }

    fn visit_field(&mut self, field: &syn::Field) {
        if !is_for_tests(&field.attrs) {
            visit::visit_field(self, field);
        }
    }

    fn visit_arm(&mut self, arm: &syn::Arm) {
        if !is_for_tests(&arm.attrs) {
            visit::visit_arm(self, arm);
        }
    }

    fn visit_variant(&mut self, variant: &syn::Variant) {
        if !is_for_tests(&variant.attrs) {
            visit::visit_variant(self, variant);
        }
    }
}

/// A name without `r#`.
fn plain(name: &syn::Ident) -> String {
    name.to_string().trim_start_matches("r#").to_owned()
}
