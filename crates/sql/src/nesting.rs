//! How deeply a text nests, told from its tokens: some nested constructs take the parser, which tries one reading after
//! the other, a time that doubles with each level.

use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan};

use crate::SqlError;
use crate::select::{position, too_complex};

/// Deepest nesting of brackets of any kind.
const MAX_BRACKETS: usize = 16;
/// Deepest nesting of those that the parser reads in more than one way (16 levels: a third of a second each time).
const MAX_AMBIGUOUS: usize = 8;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Bracket {
    Plain,
    /// The parser reads it in more than one way.
    Ambiguous,
    /// The `<` of `ARRAY<…>`.
    Type,
}

/// Refuses a text whose brackets nest too deeply.
pub(crate) fn refuse_deep_brackets(tokens: &[TokenWithSpan]) -> Result<(), SqlError> {
    let mut open: Vec<Bracket> = Vec::new();
    let mut before = None;
    for token in tokens {
        match &token.token {
            Token::Whitespace(_) => continue,
            Token::LParen if before.is_some_and(is_ambiguous) => open.push(Bracket::Ambiguous),
            Token::LParen => open.push(Bracket::Plain),
            Token::LBracket | Token::LBrace => open.push(Bracket::Ambiguous),
            Token::Lt if before.is_some_and(is_type) => open.push(Bracket::Type),
            Token::Gt => close_types(&mut open, 1),
            Token::ShiftRight => close_types(&mut open, 2),
            Token::RParen | Token::RBracket | Token::RBrace => {
                close_types(&mut open, usize::MAX);
                open.pop();
            }
            _ => {}
        }
        before = Some(&token.token);
        let ambiguous = open.iter().filter(|bracket| **bracket != Bracket::Plain).count();
        if open.len() > MAX_BRACKETS || ambiguous > MAX_AMBIGUOUS {
            return Err(too_complex(format!(
                "it is nested deeper than {MAX_BRACKETS} brackets, or {MAX_AMBIGUOUS} of casts, lists and types, at {}: write a WITH for its parts",
                position(token.span.start)
            )));
        }
    }
    Ok(())
}

fn is_ambiguous(before: &Token) -> bool {
    let Token::Word(word) = before else { return false };
    matches!(
        word.keyword,
        Keyword::CAST
            | Keyword::TRY_CAST
            | Keyword::SAFE_CAST
            | Keyword::CONVERT
            | Keyword::TRY_CONVERT
            | Keyword::OVERLAY
    )
}

fn is_type(before: &Token) -> bool {
    let Token::Word(word) = before else { return false };
    matches!(word.keyword, Keyword::ARRAY | Keyword::STRUCT | Keyword::MAP)
}

/// `>` is a comparison where no type is open.
fn close_types(open: &mut Vec<Bracket>, most: usize) {
    let types = open.iter().rev().take_while(|bracket| **bracket == Bracket::Type).count();
    open.truncate(open.len().saturating_sub(types.min(most)));
}
