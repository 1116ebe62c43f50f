//! Members of the dialects' JSON that code names.

use crate::source::{Tree, is_for_tests};
use proc_macro2::{TokenStream, TokenTree};
use std::path::PathBuf;
use syn::visit::{self, Visit};

/// Members that only a dialect of a completion has.
const MEMBERS: [&str; 12] = [
    "messages",
    "choices",
    "max_tokens",
    "max_completion_tokens",
    "max_output_tokens",
    "tool_calls",
    "finish_reason",
    "stop_reason",
    "stream_options",
    "prompt_tokens",
    "completion_tokens",
    "delta",
];
/// Where they belong: the dialects, the list of names of which no other spelling is taken in a body of any dialect, the providers
/// that a local network simulates, and lists of prices, which limit a model's answers under the same names.
const ROOMS: [&[&str]; 4] =
    [&["relay", "dialect"], &["relay", "json", "spelling"], &["localnet"], &["cli", "provider", "price_file"]];

/// A member that is named elsewhere.
pub struct Found {
    pub file: PathBuf,
    pub line: usize,
    pub member: String,
}

/// The members that a crate names outside of [`ROOMS`], tests left out.
pub fn outside(tree: &Tree) -> Vec<Found> {
    let mut found = Vec::new();
    for module in tree.modules.iter().filter(|module| !ROOMS.iter().any(|room| module.path.starts_with(&owned(room)))) {
        let mut strings = Strings { found: &mut found, file: &module.file };
        module.items.iter().for_each(|item| strings.visit_item(item));
    }
    found
}

fn owned(room: &[&str]) -> Vec<String> {
    room.iter().map(ToString::to_string).collect()
}

struct Strings<'a> {
    found: &'a mut Vec<Found>,
    file: &'a PathBuf,
}

impl Strings<'_> {
    /// A string that is a member's name, or JSON that has it.
    fn take(&mut self, text: &syn::LitStr) {
        let value = text.value();
        let named = MEMBERS.iter().find(|member| value == **member || value.contains(&format!("\"{member}\"")));
        if let Some(member) = named {
            let line = text.span().start().line;
            self.found.push(Found { file: self.file.clone(), line, member: member.to_string() });
        }
    }

    fn take_tokens(&mut self, tokens: TokenStream) {
        for token in tokens {
            match token {
                TokenTree::Group(group) => self.take_tokens(group.stream()),
                TokenTree::Literal(literal) => {
                    if let syn::Lit::Str(text) = syn::Lit::new(literal) {
                        self.take(&text);
                    }
                }
                TokenTree::Ident(_) | TokenTree::Punct(_) => {}
            }
        }
    }
}

impl Visit<'_> for Strings<'_> {
    fn visit_item_fn(&mut self, function: &syn::ItemFn) {
        if !is_for_tests(&function.attrs) {
            visit::visit_item_fn(self, function);
        }
    }

    fn visit_attribute(&mut self, attribute: &syn::Attribute) {
        if !attribute.path().is_ident("doc") {
            visit::visit_attribute(self, attribute);
        }
    }

    fn visit_lit_str(&mut self, text: &syn::LitStr) {
        self.take(text);
    }

    fn visit_macro(&mut self, named: &syn::Macro) {
        self.take_tokens(named.tokens.clone());
    }
}

#[test]
fn a_member_is_found_in_code_macros_and_json() {
    let tree = Tree::parse(
        r##"
        fn ask() { body["max_tokens"] = json!({ "a": [{ "messages": 1 }] }); }
        const JSON: &str = r#"{"choices":[]}"#;
        /// Says "messages".
        fn fine() { let _ = "the messages"; }
        #[test]
        fn left_out() { let _ = "choices"; }
        "##,
    );
    let found: Vec<String> = outside(&tree).into_iter().map(|found| found.member).collect();
    assert_eq!(found, ["max_tokens", "messages", "choices"]);
}
