//! Records by the lists of their fields: what the codecs and the words both read.

use super::{Field, Form, Kind};
use crate::format::Malformed;
use crate::format::uuid::Uuid;
use crate::format::varint::Input;

/// What a field of a record holds. Lists and structs in it were checked, and are read when they are asked for.
#[derive(Debug, Clone, Copy)]
pub(in crate::format) enum Value<'a> {
    Bool(bool),
    Int(i64),
    Float(f64),
    Id(Uuid),
    Text(Option<&'a str>),
    Bytes(Option<&'a [u8]>),
    List(Option<List<'a>>),
    Struct(Option<Values<'a>>),
    /// Bytes that hold a record by themselves, or should.
    Nested(&'static [Field], &'a [u8]),
}

#[derive(Debug, Clone, Copy)]
pub(in crate::format) struct List<'a> {
    element: Kind,
    form: Form,
    count: u32,
    bytes: &'a [u8],
}

/// The values of a struct, all of which were checked. They stay bytes, and one that is asked for is read again: copies of all of
/// them would take longer.
#[derive(Debug, Clone, Copy)]
pub(in crate::format) struct Values<'a> {
    fields: &'static [Field],
    form: Form,
    /// Whether the tagged fields follow the others.
    tagged: bool,
    bytes: &'a [u8],
}

impl<'a> List<'a> {
    pub(in crate::format) fn iter(self) -> impl Iterator<Item = Result<Value<'a>, Malformed>> {
        let mut input = Input::new(self.bytes);
        (0..self.count).map(move |_| self.form.value(self.element, &mut input))
    }

    pub(in crate::format) fn structs(self) -> impl Iterator<Item = Result<Values<'a>, Malformed>> {
        self.iter().map(|value| match value? {
            Value::Struct(Some(values)) => Ok(values),
            _ => Err(OTHER_KIND),
        })
    }

    pub(in crate::format) fn texts(self) -> impl Iterator<Item = Result<&'a str, Malformed>> {
        self.iter().map(|value| match value? {
            Value::Text(Some(text)) => Ok(text),
            _ => Err(OTHER_KIND),
        })
    }

    pub(in crate::format) fn ints<T: TryFrom<i64>>(self) -> impl Iterator<Item = Result<T, Malformed>> {
        self.iter().map(|value| match value? {
            Value::Int(number) => T::try_from(number).map_err(|_| OTHER_KIND),
            _ => Err(OTHER_KIND),
        })
    }

    pub(in crate::format) fn ids(self) -> impl Iterator<Item = Result<Uuid, Malformed>> {
        self.iter().map(|value| match value? {
            Value::Id(id) => Ok(id),
            _ => Err(OTHER_KIND),
        })
    }
}

/// A codec asks for a field that its list does not have, or that is of another kind there: its tests find it.
const OTHER_KIND: Malformed = Malformed("a field of a record is of another kind than its reader expects");

impl<'a> Values<'a> {
    /// Fields and values in the order of the list. A field that the version does not have, or that is tagged and was left
    /// out, has none.
    pub(super) fn iter(self) -> impl Iterator<Item = (&'static Field, Result<Option<Value<'a>>, Malformed>)> {
        self.fields.iter().enumerate().map(move |(at, field)| (field, self.at(at, field)))
    }

    pub(in crate::format) fn get(&self, name: &str) -> Result<Option<Value<'a>>, Malformed> {
        let mut fields = self.fields.iter().enumerate();
        let (at, field) = fields.find(|(_, field)| field.name == name).ok_or(OTHER_KIND)?;
        self.at(at, field)
    }

    /// The value of the field that has this place in the list.
    fn at(&self, at: usize, field: &Field) -> Result<Option<Value<'a>>, Malformed> {
        if !self.form.has(field) {
            return Ok(None);
        }
        let mut input = Input::new(self.bytes);
        for before in self.fields.iter().take(if field.tag.is_none() { at } else { self.fields.len() }) {
            if self.form.has(before) && before.tag.is_none() {
                self.form.pass(before.kind, &mut input)?;
            }
        }
        match field.tag {
            None => self.form.value(field.kind, &mut input).map(Some),
            Some(tag) if self.tagged => self.form.tagged(tag, field.kind, &mut input),
            Some(_) => Ok(None),
        }
    }

    /// A number that fits the type; `None` without the field.
    pub(in crate::format) fn int<T: TryFrom<i64>>(&self, name: &str) -> Result<Option<T>, Malformed> {
        match self.get(name)? {
            None => Ok(None),
            Some(Value::Int(number)) => T::try_from(number).map(Some).map_err(|_| OTHER_KIND),
            Some(_) => Err(OTHER_KIND),
        }
    }

    /// A number of a field that every version has.
    pub(in crate::format) fn the_int<T: TryFrom<i64>>(&self, name: &str) -> Result<T, Malformed> {
        self.int(name)?.ok_or(OTHER_KIND)
    }

    /// `None` for null, and without the field.
    pub(in crate::format) fn text(&self, name: &str) -> Result<Option<&'a str>, Malformed> {
        match self.get(name)? {
            None => Ok(None),
            Some(Value::Text(text)) => Ok(text),
            Some(_) => Err(OTHER_KIND),
        }
    }

    pub(in crate::format) fn the_text(&self, name: &str) -> Result<&'a str, Malformed> {
        self.text(name)?.ok_or(OTHER_KIND)
    }

    pub(in crate::format) fn id(&self, name: &str) -> Result<Option<Uuid>, Malformed> {
        match self.get(name)? {
            None => Ok(None),
            Some(Value::Id(id)) => Ok(Some(id)),
            Some(_) => Err(OTHER_KIND),
        }
    }

    pub(in crate::format) fn the_id(&self, name: &str) -> Result<Uuid, Malformed> {
        self.id(name)?.ok_or(OTHER_KIND)
    }

    /// Bytes, also those that should hold a record; `None` for null.
    pub(in crate::format) fn bytes(&self, name: &str) -> Result<Option<&'a [u8]>, Malformed> {
        match self.get(name)? {
            None => Ok(None),
            Some(Value::Bytes(bytes)) => Ok(bytes),
            Some(Value::Nested(_, bytes)) => Ok(Some(bytes)),
            Some(_) => Err(OTHER_KIND),
        }
    }

    pub(in crate::format) fn list(&self, name: &str) -> Result<Option<List<'a>>, Malformed> {
        match self.get(name)? {
            None => Ok(None),
            Some(Value::List(list)) => Ok(list),
            Some(_) => Err(OTHER_KIND),
        }
    }

    pub(in crate::format) fn the_list(&self, name: &str) -> Result<List<'a>, Malformed> {
        self.list(name)?.ok_or(OTHER_KIND)
    }
}

impl Form {
    /// Reads a struct: its fields in their order, then, in flexible form, the tagged ones.
    pub(super) fn values<'a>(
        self,
        fields: &'static [Field],
        input: &mut Input<'a>,
    ) -> Result<Values<'a>, Malformed> {
        let before = *input;
        self.untagged(fields, input)?;
        if self.flexible {
            self.check_tagged(fields, input)?;
        }
        Ok(Values { fields, form: self, tagged: self.flexible, bytes: passed(before, *input) })
    }

    /// The fields that are not tagged. A newer version may have more after them.
    pub(super) fn untagged<'a>(
        self,
        fields: &'static [Field],
        input: &mut Input<'a>,
    ) -> Result<Values<'a>, Malformed> {
        let before = *input;
        for field in fields.iter().filter(|field| self.has(field) && field.tag.is_none()) {
            self.value(field.kind, input)?;
        }
        Ok(Values { fields, form: self, tagged: false, bytes: passed(before, *input) })
    }

    fn check_tagged(self, fields: &'static [Field], input: &mut Input<'_>) -> Result<(), Malformed> {
        // A lie in the count ends with the bytes: each field takes two at least.
        for _ in 0..input.uvarint()? {
            let (tag, mut bytes) = tagged_bytes(input)?;
            if let Some(field) = fields.iter().find(|field| field.tag == Some(tag) && self.has(field)) {
                self.tagged_value(field.kind, &mut bytes)?;
                bytes.end()?;
            }
        }
        Ok(())
    }

    /// The last value with this tag, which was checked.
    fn tagged<'a>(
        self,
        wanted: u32,
        kind: Kind,
        input: &mut Input<'a>,
    ) -> Result<Option<Value<'a>>, Malformed> {
        let mut value = None;
        for _ in 0..input.uvarint()? {
            let (tag, mut bytes) = tagged_bytes(input)?;
            if tag == wanted {
                value = Some(self.tagged_value(kind, &mut bytes)?);
            }
        }
        Ok(value)
    }

    fn has(self, field: &Field) -> bool {
        (field.from..=field.through).contains(&self.version)
    }

    /// Whether a struct is null is said in another way here.
    fn tagged_value<'a>(self, kind: Kind, input: &mut Input<'a>) -> Result<Value<'a>, Malformed> {
        match kind {
            Kind::MaybeStruct(_) if input.uvarint()? == 0 => Ok(Value::Struct(None)),
            Kind::MaybeStruct(fields) => self.structure(fields, input),
            kind => self.value(kind, input),
        }
    }

    fn value<'a>(self, kind: Kind, input: &mut Input<'a>) -> Result<Value<'a>, Malformed> {
        Ok(match kind {
            Kind::Bool => Value::Bool(input.i8()? != 0),
            Kind::I8 => Value::Int(input.i8()?.into()),
            Kind::I16 => Value::Int(input.i16()?.into()),
            Kind::U16 => Value::Int(input.i16()?.cast_unsigned().into()),
            Kind::I32 => Value::Int(input.i32()?.into()),
            Kind::I64 => Value::Int(input.i64()?),
            Kind::F64 => Value::Float(f64::from_be_bytes(input.array()?)),
            Kind::Id => Value::Id(input.uuid()?),
            Kind::Text if self.flexible => Value::Text(Some(input.compact_str()?)),
            Kind::Text => Value::Text(Some(input.str()?)),
            Kind::MaybeText if self.flexible => Value::Text(input.nullable_compact_str()?),
            Kind::MaybeText => Value::Text(input.nullable_str()?),
            Kind::Bytes => Value::Bytes(Some(self.bytes(input)?)),
            Kind::MaybeBytes if self.flexible => Value::Bytes(input.nullable_compact_bytes()?),
            Kind::MaybeBytes => Value::Bytes(input.nullable_bytes()?),
            Kind::List(element) => Value::List(Some(self.list(*element, input)?.ok_or(NO_LIST)?)),
            Kind::MaybeList(element) => Value::List(self.list(*element, input)?),
            Kind::MaybeStruct(_) if input.i8()? < 0 => Value::Struct(None),
            Kind::Struct(fields) | Kind::MaybeStruct(fields) => self.structure(fields, input)?,
            Kind::Nested(fields) => Value::Nested(fields, self.bytes(input)?),
        })
    }

    /// Passes over a value that was checked.
    fn pass(self, kind: Kind, input: &mut Input<'_>) -> Result<(), Malformed> {
        let bytes = match kind {
            Kind::Bool | Kind::I8 => 1,
            Kind::I16 | Kind::U16 => 2,
            Kind::I32 => 4,
            Kind::I64 | Kind::F64 => 8,
            Kind::Id => size_of::<Uuid>(),
            Kind::Text | Kind::MaybeText if !self.flexible => usize::try_from(input.i16()?).unwrap_or(0),
            _ => return self.value(kind, input).map(drop),
        };
        input.take(bytes).map(drop)
    }

    fn bytes<'a>(self, input: &mut Input<'a>) -> Result<&'a [u8], Malformed> {
        if self.flexible { input.compact_bytes() } else { input.bytes() }
    }

    fn structure<'a>(self, fields: &'static [Field], input: &mut Input<'a>) -> Result<Value<'a>, Malformed> {
        Ok(Value::Struct(Some(self.values(fields, input)?)))
    }

    fn list<'a>(self, element: Kind, input: &mut Input<'a>) -> Result<Option<List<'a>>, Malformed> {
        let count = if self.flexible { input.nullable_compact_count()? } else { input.nullable_count()? };
        let Some(count) = count else { return Ok(None) };
        let before = *input;
        for _ in 0..count {
            self.value(element, input)?;
        }
        Ok(Some(List { element, form: self, count, bytes: passed(before, *input) }))
    }
}

/// A tag and the bytes of its value.
fn tagged_bytes<'a>(input: &mut Input<'a>) -> Result<(u32, Input<'a>), Malformed> {
    let (tag, size) = (input.uvarint()?, input.uvarint()?);
    let size = usize::try_from(size).map_err(|_| Malformed("ends early"))?;
    Ok((tag, Input::new(input.take(size)?)))
}

const NO_LIST: Malformed = Malformed("an array that must be there is null");

/// The bytes between two states of an input.
fn passed<'a>(before: Input<'a>, after: Input<'a>) -> &'a [u8] {
    let bytes = before.rest();
    bytes.get(..bytes.len() - after.remaining()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::field;
    use super::*;

    const FIELDS: &[Field] = &[
        field("number", Kind::I16),
        field("later", Kind::I8).from(1),
        field("tagged", Kind::Text).tag(3),
        field("list", Kind::List(&Kind::I16)),
    ];

    fn read(version: i16, flexible: bool, bytes: &[u8]) -> Result<Values<'_>, Malformed> {
        let mut input = Input::new(bytes);
        let values = Form { version, flexible }.values(FIELDS, &mut input)?;
        input.end()?;
        Ok(values)
    }

    #[test]
    fn fields_of_a_version_are_read_by_their_names() {
        let fields = read(0, false, &[0, 5, 0, 0, 0, 2, 0, 7, 0, 8]).unwrap();
        assert_eq!((fields.int("number"), fields.int::<i8>("later")), (Ok(Some(5_i16)), Ok(None)));
        assert_eq!(
            fields.the_list("list").unwrap().ints::<u8>().collect::<Result<Vec<_>, _>>(),
            Ok(vec![7, 8])
        );
        // Of another kind, not there, or none at all.
        assert!(fields.text("number").is_err() && fields.the_int::<i8>("later").is_err());
        assert!(fields.get("nothing").is_err());
        assert_eq!(fields.text("tagged"), Ok(None));
    }

    #[test]
    fn tags_are_known_or_skipped_by_their_size() {
        // Tag 9, of two bytes, then tag 3.
        let fields = read(1, true, &[0, 5, 6, 1, 2, 9, 2, 0xff, 0xff, 3, 3, 3, b'h', b'i']).unwrap();
        assert_eq!((fields.text("tagged"), fields.int::<i8>("later")), (Ok(Some("hi")), Ok(Some(6))));
        assert!(
            read(1, true, &[0, 5, 6, 1, 1, 3, 4, 3, b'h', b'i', 0]).is_err(),
            "bytes after a tagged field"
        );
        assert!(read(1, true, &[0, 5, 6, 1, 0xff, 0xff, 3, 1, 0]).is_err(), "a lie in the count of tags");
    }

    #[test]
    fn what_must_be_there_is_not_null() {
        assert_eq!(read(0, false, &[0, 5, 255, 255, 255, 255]).unwrap_err(), NO_LIST);
        assert_eq!(read(0, true, &[0, 5, 0, 0]).unwrap_err(), NO_LIST);
    }
}
